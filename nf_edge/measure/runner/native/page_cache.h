#pragma once

#include <string>

namespace nf {

// Drops the pages of a file from the page cache, so that a mapping contains only pages that the process reads. A file
// that was just written lies in the cache in large folios, which the kernel maps completely. Does nothing if the
// system cannot do that; pages that another process maps stay.
void drop_cached_pages(const std::string& path);

} // namespace nf
