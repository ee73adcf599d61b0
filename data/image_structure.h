#pragma once

#include <string_view>

namespace expunge::data {

// Walk the parts of an image file from its signature to its end marker, before a decoder sees it.
// stb_image fills a JPEG that was cut short with grey and takes a PNG without its last checksum;
// and its 2.27 writes behind an array where a JPEG's Huffman table claims more than 256 codes.
bool jpeg_is_sound(std::string_view bytes);
bool png_is_sound(std::string_view bytes);

}  // namespace expunge::data
