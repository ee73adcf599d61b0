"""The parts of measure_first.py that look at single layers: convolutions and batch norms of ResNet18 and VGG16-BN."""
import collections
import os

import torch
from torch import nn
from torch.nn import functional as F

from torch_models import MODELS

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32, "fp32": torch.float32}
CHECKED_IMAGES = 8


def set_mode(mode):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"


def guarded(run, name, fn, *args):
    """A configuration that fails becomes a row, and the next one starts."""
    try:
        fn(*args)
    except Exception as e:
        run.emit(name, ok=False, error=("%s: %s" % (type(e).__name__, e))[:300])


def shapes_of(models):
    """Distinct convolutions (C, K, size, stride, pad, H) and batch norms (C, H), with how often each net has them."""
    convs, norms = (collections.OrderedDict() for _ in range(2))
    for model in models:
        net = MODELS[model][0]().eval()

        def see(module, inputs, _output, model=model):
            h = inputs[0].shape[-1]
            if isinstance(module, nn.Conv2d):
                key = (module.in_channels, module.out_channels, module.kernel_size[0], module.stride[0],
                       module.padding[0], h)
                convs.setdefault(key, collections.Counter())[model] += 1
            else:
                norms.setdefault((module.num_features, h), collections.Counter())[model] += 1

        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
                module.register_forward_hook(see)
        with torch.no_grad():
            net(torch.zeros(1, 3, 32, 32))
    return convs, norms


# ---------------------------------------------------------------- convolutions
def relative_error(x, y):
    x = x.double()
    return float((x - y).norm() / y.norm()) if bool(torch.isfinite(x).all()) else float("inf")


def conv_errors(shape, x, w, dy, y, dx, dw):
    """Against float64 through unfold and matrix products: y and dx of a few images, dw of the whole batch."""
    _, kout, size, stride, pad, h = shape
    w64, n = w.double().flatten(1), min(CHECKED_IMAGES, x.shape[0])

    def columns(first, count):              # (n, C size size, pixels)
        return F.unfold(x[first:first + count].double().contiguous(), size, padding=pad, stride=stride)

    def slopes(first, count):               # (n, K, pixels)
        return dy[first:first + count].double().contiguous().flatten(2)

    errors = {"fprop": relative_error(y[:n].contiguous().flatten(2), w64 @ columns(0, n)),
              "dgrad": relative_error(dx[:n], F.fold(w64.t() @ slopes(0, n), (h, h), size, padding=pad, stride=stride))}
    dw64 = torch.zeros(kout, w64.shape[1], dtype=torch.float64, device=x.device)
    for first in range(0, x.shape[0], 16):
        dw64 += (slopes(first, 16) @ columns(first, 16).transpose(1, 2)).sum(0)
    errors["wgrad"] = relative_error(dw.contiguous().flatten(1), dw64)
    return errors


def measure_conv(run, shape, nets, mode, batch):
    cin, kout, size, stride, pad, h = shape
    set_mode(mode)
    gen = torch.Generator(device=run.dev).manual_seed(int.from_bytes(os.urandom(4), "little"))
    out = (h + 2 * pad - size) // stride + 1

    def random(*dims):
        t = torch.randn(*dims, generator=gen, device=run.dev)
        return t.to(DTYPES[mode]).contiguous(memory_format=torch.channels_last)

    x, w, dy = random(batch, cin, h, h), random(kout, cin, size, size), random(batch, kout, out, out)
    where = ([stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1)

    def backward(*mask):
        return torch.ops.aten.convolution_backward(dy, x, w, None, *where, list(mask))

    jobs = {"fprop": lambda: torch.ops.aten.convolution(x, w, None, *where),
            "dgrad": lambda: backward(True, False, False)[0], "wgrad": lambda: backward(False, True, False)[1]}
    flops = 2.0 * batch * out * out * kout * cin * size * size
    operands = x.numel() + w.numel() + dy.numel()
    errors = conv_errors(shape, x, w, dy, *(job() for job in jobs.values()))
    for job, fn in jobs.items():
        if job == "dgrad" and cin == 3:
            continue                        # nobody asks for the images' gradient
        us = run.time_us(fn)
        limit = {"bf16": 1e-2, "fp16": 2e-3, "tf32": 2e-3, "fp32": 1e-4}[mode]  # rounding of operands and result
        run.emit("conv", op=job, mode=mode, batch=batch, C=cin, K=kout, size=size, stride=stride, H=h, nets=dict(nets),
                 us=round(us, 2), TFLOPs=round(flops / us / 1e6, 1),
                 GBps=round(operands * x.element_size() / us / 1e3, 1), rel_error=errors[job], ok=errors[job] < limit)


def part_convs(run):
    convs, _ = shapes_of(run.args.models)
    for mode in run.args.modes:
        for batch in run.args.batches:
            for shape, nets in convs.items():
                if run.late():
                    return run.emit("convs", skipped="time budget", at="%s b%d %s" % (mode, batch, shape))
                guarded(run, "conv %s b%d %s" % (mode, batch, shape), measure_conv, run, shape, nets, mode, batch)
            if run.cuda:
                torch.cuda.empty_cache()


# ---------------------------------------------------------------- batch norm
def part_bn_backend(run):
    select = getattr(torch._C, "_select_batch_norm_backend", None)
    if select is None:
        return run.emit("bn_backend", skipped="torch %s has no _select_batch_norm_backend" % torch.__version__)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for layout in (torch.channels_last, torch.contiguous_format):
            for training in (True, False):
                x = torch.randn(128, 64, 32, 32, device=run.dev).to(dtype).contiguous(memory_format=layout)
                ones = [torch.ones(64, device=run.dev) for _ in range(4)]
                run.emit("bn_backend", dtype=str(dtype), layout=str(layout), training=training,
                         backend=str(select(x, *ones, training, 1e-5)))


def measure_bn(run, channels, h, nets, mode, batch):
    set_mode(mode)
    x, dy = (torch.randn(batch, channels, h, h, device=run.dev).to(DTYPES[mode]).contiguous(
        memory_format=torch.channels_last) for _ in range(2))
    w, b, mean, var = (torch.ones(channels, device=run.dev) for _ in range(4))
    native, size = torch.ops.aten.native_batch_norm, x.numel() * x.element_size()
    _, save_mean, save_invstd = native(x, w, b, mean, var, True, 0.1, 1e-5)

    def backward():
        return torch.ops.aten.native_batch_norm_backward(dy, x, w, mean, var, save_mean, save_invstd, True, 1e-5,
                                                         [True] * 3)

    leaves = [t.detach().requires_grad_() for t in (x, w, b)]

    def chosen():                           # forward and backward as nn.BatchNorm2d runs them
        y = F.batch_norm(leaves[0], mean, var, leaves[1], leaves[2], True, 0.1, 1e-5)
        return torch.autograd.grad(y, leaves, dy)

    jobs = {"native_forward": (lambda: native(x, w, b, mean, var, True, 0.1, 1e-5), 3),
            "native_backward": (backward, 5), "chosen_both": (chosen, 8)}
    for job, (fn, passes) in jobs.items():  # passes: reads of x (twice) and dy, writes
        us = run.time_us(fn)
        run.emit("bn", op=job, mode=mode, batch=batch, C=channels, H=h, nets=dict(nets), us=round(us, 2), passes=passes,
                 GBps=round(passes * size / us / 1e3, 1))


def part_bn(run):
    _, norms = shapes_of(run.args.models)
    for mode in [m for m in run.args.modes if m != "tf32"]:
        for batch in run.args.batches:
            for (channels, h), nets in norms.items():
                if run.late():
                    return run.emit("bn", skipped="time budget", at="%s b%d C%d H%d" % (mode, batch, channels, h))
                guarded(run, "bn %s b%d C%d H%d" % (mode, batch, channels, h), measure_bn, run, channels, h, nets, mode,
                        batch)
