// What the kernels share.
#pragma once

#include <mutex>

// One computation at a time: each uses every core, and they share scratch memory. Defined in library.cc.
std::mutex& jaxcnn_lock();
