#!/usr/bin/env python3
"""Writes the files beside it, which must be refused with exit code 3 and one sentence in under a second (TOML: 2),
and valid ones to ../fuzz/corpus, from which the fuzz targets start.

  python3 tests/hostile/make.py
"""
import hashlib
import json
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))


CORPUS = os.path.join(os.path.dirname(HERE), "fuzz", "corpus")


def put(kind, name, data, folder=HERE):
    os.makedirs(os.path.join(folder, kind), exist_ok=True)
    with open(os.path.join(folder, kind, name), "wb") as file:
        file.write(data)


# ---- safetensors: length, JSON header, data ----

def tensors(header, data=8, length=None):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(data)


def one(**fields):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **fields}}


def safetensors():
    two = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    w = json.dumps(one()["w"])
    rows = {
        "empty": b"", "seven_bytes": b"1234567", "length_only": struct.pack("<Q", 0), "zeros": bytes(100),
        "length_past_end": tensors(one(), 0, 1000), "length_largest": tensors(one(), 0, 2**64 - 1),
        "length_negative": tensors(one(), 0, 2**63), "length_100_mb": tensors(one(), 0, 100_000_000),
        "not_json": tensors(b"hello, world"), "json_cut": tensors(b'{"w":{"dtype":"F32"'), "array": tensors(b"[]"),
        "number": tensors(b"7"), "two_documents": tensors(json.dumps(one()).encode() + b"{}"),
        "not_utf8": tensors(b'{"\xff\xfe":' + w.encode() + b"}"), "surrogate": tensors(b'{"\\ud800":' + w.encode() + b"}"),
        "deep_lists": tensors(b"[" * 20_000), "deep_objects": tensors(b'{"a":' * 5_000),
        "deep_shape": tensors(b'{"w":{"dtype":"F32","shape":' + b"[" * 20_000 + b"}}"),
        "tensor_twice": tensors(('{"w":%s,"w":%s}' % (w, w)).encode()),
        "field_twice": tensors(b'{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
        "metadata_twice": tensors(('{"__metadata__":{},"__metadata__":{},"w":%s}' % w).encode()),
        "metadata_number": tensors({"__metadata__": {"a": 1}, **one()}),
        "metadata_nested": tensors({"__metadata__": {"a": {"b": "c"}}, **one()}),
        "field_unknown": tensors(one(extra=[1])), "dtype_unknown": tensors(one(dtype="F7")),
        "dtype_missing": tensors({"w": {"shape": [2], "data_offsets": [0, 8]}}), "dtype_number": tensors(one(dtype=4)),
        "shape_missing_offsets": tensors({"w": {"dtype": "F32", "shape": [2]}}), "shape_null": tensors(one(shape=None)),
        "shape_negative": tensors(one(shape=[-2])), "shape_fraction": tensors(one(shape=[2.5])),
        "shape_text": tensors(one(shape=["2"])), "shape_true": tensors(one(shape=[True])),
        "shape_rank_9": tensors(one(shape=[1] * 8 + [2])), "shape_beyond_64_bits": tensors(one(shape=[2**64])),
        "product_wraps_to_2": tensors(one(shape=[2**62 + 1, 2])), "product_wraps_to_0": tensors(one(shape=[2**32, 2**32])),
        "product_wraps_bytes": tensors(one(shape=[2**62, 2])), "zero_times_huge": tensors(one(shape=[0, 2**63])),
        "exabytes": tensors(one(shape=[2**60], data_offsets=[0, 2**62])),
        "offsets_past_end": tensors(one(shape=[4], data_offsets=[0, 16])),
        "offsets_wrap": tensors(one(data_offsets=[2**64 - 8, 0])), "offsets_swapped": tensors(one(data_offsets=[8, 0])),
        "offsets_three": tensors(one(data_offsets=[0, 4, 8])), "offsets_unlike_shape": tensors(one(shape=[1])),
        "hole": tensors({**two, "b": {"dtype": "U8", "shape": [2], "data_offsets": [6, 8]}}),
        "hole_at_start": tensors(one(shape=[1], data_offsets=[4, 8])),
        "overlap": tensors({**two, "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}, 6),
        "same_bytes_twice": tensors({**two, "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 4),
        "bytes_after_end": tensors(one(), 9), "data_cut": tensors(one(), 7), "no_data": tensors(one(), 0),
        "polyglot_zip": tensors(one()) + b"PK\x05\x06" + bytes(18), "name_long": tensors({"n" * 513: one()["w"]}),
        "sha256_wrong": tensors({"__metadata__": {"sha256": "0" * 64}, **one()}),
        "like_html": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        "like_pth": b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl" + bytes(60), "like_old_pth": b"\x80\x02\x8a\nl\xfc\x9cF" + bytes(60),
        "like_numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}", "like_gzip": b"\x1f\x8b\x08\x00" + bytes(60),
        "like_lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "like_elf": b"\x7fELF" + bytes(60),
    }
    for name, data in rows.items():
        put("safetensors", name + ".safetensors", data)


# ---- images ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=2, data=None, interlace=0, tail=True):
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height)) if data is None else data
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)) +
            chunk(b"IDAT", zlib.compress(rows)) + (chunk(b"IEND", b"") if tail else b""))


def images():
    good = png(4, 4)
    palette = chunk(b"PLTE", bytes(9))
    rows = {
        "empty.png": b"", "signature_only.png": good[:8], "cut_in_data.png": good[:len(good) // 2],
        "cut_before_end.png": good[:-12], "cut_in_last_sum.png": good[:-1], "side_60000.png": png(60000, 60000, data=b""),
        "side_16385.png": png(16385, 1, data=b""), "pixels_too_many.png": png(16384, 16384, data=b""),
        "side_0.png": png(0, 4, data=b""), "side_negative.png": png(2**31 + 1, 4, data=b""),
        "bomb_1000_to_1.png": png(16384, 4097, data=bytes(1 << 20)), "too_few_rows.png": png(64, 64, data=bytes(100)),
        "not_deflate.png": good[:33] + chunk(b"IDAT", b"this is not deflate") + good[-12:],
        "no_data.png": good[:33] + good[-12:], "no_header.png": good[:8] + good[-12:],
        "header_twice.png": good[:33] + good[8:], "filter_99.png": png(4, 4, data=b"\x63" * 52),
        "depth_3.png": png(4, 4, depth=3), "colour_7.png": png(4, 4, colour=7), "interlace_9.png": png(4, 4, interlace=9),
        "palette_missing.png": png(4, 4, colour=3), "palette_short.png": good[:8] + chunk(
            b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0)) + palette[:-4] + b"\0\0\0\0",
        "chunk_past_end.png": good[:33] + struct.pack(">I", 2**31) + b"IDAT",
        "jpeg_marker_only.jpg": b"\xff\xd8\xff", "jpeg_no_frame.jpg": b"\xff\xd8\xff\xd9",
        "jpeg_fill_bytes.jpg": b"\xff\xd8" + b"\xff" * 4000,
        "jpeg_segment_past_end.jpg": b"\xff\xd8\xff\xe0\xff\xff" + bytes(10),
        "jpeg_65535.jpg": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xd9",
        "jpeg_no_scan.jpg": b"\xff\xd8\xff\xc0\x00\x11\x08\x30\x01\x0d\x00\x03\x2d\x13\x00\x02\x11\x00\x03\x13\x00\xff\xd9",
        "jpeg_huffman_4080_codes.jpg": b"\xff\xd8\xff\xc4\x01\x13\x00" + b"\xff" * 16 + bytes(256) + b"\xff\xd9",
        "gif.jpg": b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + bytes(20), "hdr.png": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n",
        "html.jpg": b"<html><head><title>503</title></head></html>", "svg.png": b"<svg xmlns='x'/>", "text.jpg": b"hello\n",
        "webp.jpg": b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(16), "bmp.png": b"BM" + bytes(60),
    }
    for name, data in rows.items():
        put("image", name, data)


# ---- packed data sets (docs/packed-format.md) ----

def packed(fields=None, drop=(), header=None, version=1, arrays=None, seal=True, length=None):
    record = {"name": "t", "height": 1, "width": 1, "channels": 3, "classes": ["a", "b"], "train": 2, "test": 0,
              "mean": [0, 0, 0], "std": [1, 1, 1], "id_source": "pixels", "source_bytes": 4, "digest": "0" * 64}
    record.update(fields or {})
    for key in drop:
        del record[key]
    text = json.dumps(record).encode() if header is None else header
    text += b" " * (-len(text) % 64)
    sum_ = hashlib.sha256(text).digest() if seal else bytes(32)
    prefix = b"EXPUNGE\n" + struct.pack("<IIQ", version, 0, len(text) if length is None else length) + sum_ + bytes(8)
    return prefix + text + (bytes(6) + struct.pack("<HH", 0, 1) + bytes(32) + b"x\0y\0" if arrays is None else arrays)


def data_sets():
    good = packed()
    rows = {
        "empty": b"", "magic_only": good[:8], "prefix_only": good[:64], "cut_in_header": good[:100], "cut_in_pixels": good[:-40],
        "cut_by_one": good[:-1], "one_more": good + b"\0", "hash_wrong": packed(seal=False), "version_9": packed(version=9),
        "header_past_end": packed(length=1 << 20), "header_largest": packed(length=2**64 - 64), "header_odd": packed(length=65),
        "header_not_json": packed(header=b"hello"), "header_deep": packed(header=b"[" * 20_000),
        "header_twice": packed(header=b'{"name":"a","name":"b"}'), "header_list": packed(header=b"[]"),
        "height_0": packed({"height": 0}), "height_huge": packed({"height": 2**40}), "height_text": packed({"height": "1"}),
        "height_missing": packed(drop=["height"]), "sizes_wrap": packed({"height": 16384, "width": 16384, "train": 2**31 - 1}),
        "channels_4": packed({"channels": 4}), "train_0": packed({"train": 0, "test": 2}), "train_negative": packed({"train": -2}),
        "train_fraction": packed({"train": 1.5}), "test_huge": packed({"test": 2**62}), "classes_none": packed({"classes": []}),
        "classes_twice": packed({"classes": ["a", "a"]}), "classes_number": packed({"classes": [1, 2]}),
        "classes_nested": packed({"classes": [["a"]]}), "mean_text": packed({"mean": "0"}), "mean_short": packed({"mean": [0]}),
        "std_zero": packed({"std": [0, 0, 0]}), "id_source_other": packed({"id_source": "names"}), "digest_short": packed({"digest": "00"}),
        "source_bytes_huge": packed({"source_bytes": 2**63}),
        "label_out_of_range": packed(arrays=bytes(6) + struct.pack("<HH", 0, 7) + bytes(32) + b"x\0y\0"),
        "sources_not_ended": packed(arrays=bytes(6) + struct.pack("<HH", 0, 1) + bytes(32) + b"x\0yz"),
        "like_zip": b"PK\x03\x04" + bytes(60), "like_html": b"<!DOCTYPE html><html></html>",
    }
    for name, data in rows.items():
        put("packed", name + ".epk", data)


# ---- TOML: these are exit code 2 ----

def toml():
    rows = {
        "key_unknown": b"epoch = 3\n", "type_text": b'epochs = "many"\n', "type_list": b"epochs = [3]\n", "type_table": b"[epochs]\nn = 3\n",
        "type_date": b"epochs = 2026-01-01\n", "range_below": b"epochs = 0\n", "range_above": b"epochs = 9223372036854775807\n",
        "beyond_64_bits": b"epochs = 99999999999999999999\n", "nan": b"lr = nan\n", "infinite": b"lr = inf\n", "twice": b"lr = 1.0\nlr = 2.0\n",
        "no_value": b"lr =\n", "no_key": b"= 3\n", "open_string": b'model = "mlp\n', "open_list": b"lr = [[[\n", "not_utf8": b'model = "\xff\xfe"\n',
        "zero_byte": b"lr = 0.1\0\n", "escape_bad": b'model = "\\q"\n', "deep_lists": b"lr = " + b"[" * 20_000, "deep_keys": b"a." * 20_000 + b"b = 1\n", "deep_header": b"[" + b"a." * 20_000 + b"b]\n",
        "deep_tables": b"lr = " + b"{a=" * 20_000, "binary": bytes(range(256)), "html": b"<!DOCTYPE html>\n", "sign_before_text": 'model = +"\u00fc"\n'.encode(), "letter_beyond_ascii": "lr = \u01bf9\n".encode(), "key_beyond_ascii": "l\u00fcr = 9\n".encode(),
        "escape_beyond_ascii": 'model = "\\\u00fc"\n'.encode(), "several_lines": b'model = """m\n\nlp"""\n', "json": b'{"lr": 1}\n',
    }
    for name, data in rows.items():
        put("toml", name + ".toml", data)


# ---- valid inputs ----

def mlp():
    """The network of safetensors_fuzz.cpp."""
    header, offset = {"__metadata__": {"model": "mlp", "classes": '["a","b"]', "height": "2", "width": "2", "channels": "3",
                                       "mean": "[0,0,0]", "std": "[1,1,1]"}}, 0
    for name, shape in (("fc1", (256, 12)), ("fc2", (128, 256)), ("fc3", (2, 128))):
        for part, extents in (("weight", shape), ("bias", shape[:1])):
            size = 4 * extents[0] * (extents[1] if len(extents) > 1 else 1)
            header["%s.%s" % (name, part)] = {"dtype": "F32", "shape": extents, "data_offsets": [offset, offset + size]}
            offset += size
    return header


def seeds():
    types = {name: {"dtype": name, "shape": [1], "data_offsets": [8 * i, 8 * i + 8]} for i, name in enumerate(("F64", "I64", "U64"))}
    empty = {"e": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]}}
    for name, data in {"two_floats": tensors(one()), "card": tensors(mlp(), 0), "types": tensors(types, 24), "empty": tensors(empty, 0),
                       "metadata": tensors({"__metadata__": {"a": "b"}, **one()}), "nothing": tensors({}, 0)}.items():
        put("safetensors", name, data, CORPUS)
    put("packed", "two_samples", packed(), CORPUS)
    put("packed", "file_ids", packed({"id_source": "file"}), CORPUS)
    noise = hashlib.sha512(b"x").digest()
    for name, data in {"rgb": png(4, 4), "noise": png(4, 4, data=b"".join(b"%c" % f + noise[:12] for f in (1, 2, 3, 4))),
                       "grey": png(4, 4, colour=0, data=bytes(20)), "grey16": png(2, 2, 16, 0, bytes(10)),
                       "rgba": png(2, 2, colour=6, data=bytes(18)), "interlaced": png(4, 4, data=bytes(60), interlace=1),
                       "bits": png(9, 2, 1, 0, bytes(6))}.items():
        put("image", name + ".png", data, CORPUS)
    put("toml", "values.toml", b"""# a comment
lr = 0.05
epochs = 3
nesterov = true
model = "ml\\u0070"
schedule = 'step:1' # \xe2\x80\x94
out = "\xc3\xbc"
limit = 0x10
weight-decay = 5e-4
""", CORPUS)


if __name__ == "__main__":
    seeds()
    safetensors()
    images()
    data_sets()
    toml()
