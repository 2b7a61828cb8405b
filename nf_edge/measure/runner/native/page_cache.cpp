#include "page_cache.h"

#include <fcntl.h>
#include <unistd.h>

namespace nf {

void drop_cached_pages(const std::string& path) {
#ifdef POSIX_FADV_DONTNEED
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    fsync(file); // the kernel drops only pages that are on disk
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
#else
  static_cast<void>(path);
#endif
}

} // namespace nf
