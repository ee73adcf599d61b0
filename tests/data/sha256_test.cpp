#include "core/sha256.h"

#include <doctest/doctest.h>

#include <string>

using namespace expunge;

namespace {

std::string hash(const std::string& text) {
  return to_hex(sha256(text.data(), text.size()));
}

}  // namespace

TEST_CASE("sha256: the vectors of NIST") {
  CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
             "klmnopqrlmnopqrsmnopqrstnopqrstu") ==
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(hash(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces of any size give the hash of the whole") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (size_t size = 0; size <= text.size(); ++size) {
    const std::string part = text.substr(0, size);
    for (const size_t piece : {1, 3, 55, 56, 63, 64, 65, 130}) {
      Sha256 pieces;
      for (size_t at = 0; at < size; at += piece)
        pieces.update(part.data() + at, std::min(piece, size - at));
      REQUIRE(to_hex(pieces.digest()) == hash(part));
    }
  }
}
