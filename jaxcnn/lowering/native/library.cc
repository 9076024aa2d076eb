// What the library was built with, and the lock its kernels share. Python asks before it registers any of them.

#include <mutex>
#include <string>

#include "common.h"
#include "dnnl.h"
#include "xla/ffi/api/c_api.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// An XLA refuses kernels built for a newer API than its own, and takes the whole CPU backend down with them.
EXPORT int jaxcnn_ffi_api_major() { return XLA_FFI_API_MAJOR; }

EXPORT int jaxcnn_ffi_api_minor() { return XLA_FFI_API_MINOR; }

// The oneDNN that is loaded, which need not be the one whose headers were compiled against.
EXPORT const char* jaxcnn_onednn_version() {
  static const std::string version = [] {
    const dnnl_version_t* loaded = dnnl_version();
    return std::to_string(loaded->major) + "." + std::to_string(loaded->minor) + "." + std::to_string(loaded->patch);
  }();
  return version.c_str();
}

std::mutex& jaxcnn_lock() {
  static std::mutex lock;
  return lock;
}
