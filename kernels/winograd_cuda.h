#pragma once

#include "kernels/conv2d.h"
#include "kernels/winograd_chunks.h"

// Winograd's F(4x4, 3x3) on a GPU, for strict f32, where a fast way to multiply is worth most:
// transforms here (winograd.cu), products of 36 planes by cuBLAS (matrix_product.h). In exact
// arithmetic what conv2d.h computes; the error is that of winograd.h, and what is not finite
// spreads over the tiles that see it. Where winograd_applies (winograd.h). beta is 0 or 1.
namespace expunge::kernels::cuda {

// How: 0 < images <= shape.N at a time; workspace: winograd_workspace(), .. of winograd_chunks.h.
struct WinogradWork {
  Conv2dShape shape;
  int64_t images;
  void* workspace;
};
void winograd(Stream stream, const WinogradWork& work, const float* x, const float* w, float* y);
void winograd_backward_data(Stream stream, const WinogradWork& work, const float* dy,
                            const float* w, float beta, float* dx);
void winograd_backward_weights(Stream stream, const WinogradWork& work, const float* x,
                               const float* dy, float beta, float* dw);

// The transforms (winograd_math.h), both ways; planes are (36, tiles, channels).
// V = B^T d B of 6 x 6 pixels, zero outside of the image
void winograd_input(Stream stream, const TiledImages& images, const float* x, float* planes);
// A dy A^T of 4 x 4 pixels, zero outside
void winograd_output_gradient(Stream stream, const TiledImages& images, const float* dy,
                              float* planes);
// y = beta y + A^T M A
void winograd_output(Stream stream, const TiledImages& images, const float* planes, float beta,
                     float* y);
// U = G w G^T (36, K, C); reversed: of the taps in reverse, for the gradient by the data
void winograd_weights(Stream stream, int64_t K, int64_t C, bool reversed, const float* w,
                      float* planes);
// dw = beta dw + G^T (sum over parts) G;  planes: (36, parts, K, C), used up
void winograd_weight_gradient(Stream stream, int64_t K, int64_t C, int64_t parts, float* planes,
                              float beta, float* dw);

}  // namespace expunge::kernels::cuda
