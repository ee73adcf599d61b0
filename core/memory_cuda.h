#pragma once

#include <cstddef>
#include <string>

#include "core/device.h"

// What memory and tensors need of CUDA: in builds that have it (kCudaBuild), and not to be called
// in others.
namespace expunge {

void* cuda_allocate(size_t bytes);  // null where the GPU has no more
void cuda_release(void* memory) noexcept;

// In the order of the stream. From the host: `from` may change when it returns, whether or not the
// work has been done. To the host: done when it returns.
void cuda_copy(Stream stream, void* to, const void* from, size_t bytes);
void cuda_upload(Stream stream, void* to, const void* from, size_t bytes);
void cuda_download(Stream stream, void* to, const void* from, size_t bytes);
void cuda_fill(Stream stream, void* to, int byte, size_t bytes);
void cuda_wait(Stream stream);  // until all that was queued is done
// The same after an error, which is told already. What is being recorded is not waited for.
void cuda_settle(Stream stream) noexcept;

// Beside that stream: what one of them is given after cuda_wait_for(event) comes after what the
// other had been given at cuda_mark(event). Streams are never destroyed.
Stream cuda_new_stream();
void* cuda_new_event();
void cuda_mark(Stream stream, void* event);
void cuda_wait_for(Stream stream, void* event);
void cuda_await(void* event);  // the host does

// Pages of the host that a GPU writes into by itself: what is queued is there after an event.
void* cuda_allocate_pinned(size_t bytes);
void cuda_release_pinned(void* memory, void* event) noexcept;  // after that event, which goes too
void cuda_queue_download(Stream stream, void* pinned, const void* from, size_t bytes);

// Why GPU `number` cannot be used, a clause for a sentence; "" where it can.
std::string cuda_problem(int number);
std::string cuda_name(int number);  // "NVIDIA H200", of one without a problem
// Makes GPU `number` the one, with a stream that everything goes to. Throws where there is a
// problem.
Stream cuda_open(int number);

}  // namespace expunge
