#include "memory.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace nf {
namespace {

// Reads the number of kilobytes from a line `Name:   123 kB` of procfs, as bytes; false for other names.
bool read_field(const std::string& line, const char* name, int64_t* bytes) {
  const size_t length = std::strlen(name);
  if (line.compare(0, length, name) != 0 || line[length] != ':') {
    return false;
  }
  *bytes = 1024 * std::strtoll(line.c_str() + length + 1, nullptr, 10);
  return true;
}

// Sums the pages in /proc/self/smaps, which is exact. VmRSS of /proc/self/status is cheaper, but its counters are
// per CPU and may be some hundred kilobytes too old.
void read_mappings(const std::string& model, Memory* memory) {
  std::ifstream smaps("/proc/self/smaps");
  bool of_model = false;
  bool of_library = false;
  int64_t bytes = 0;
  for (std::string line; std::getline(smaps, line);) {
    if (!std::isupper(static_cast<unsigned char>(line[0]))) {
      // The first line of a mapping: `start-end permissions offset device inode   /path`.
      const size_t path = line.find('/');
      of_model = path != std::string::npos && line.compare(path, model.size(), model) == 0;
      of_library = path != std::string::npos && !of_model;
    } else if (read_field(line, "Rss", &bytes)) {
      memory->rss += bytes;
      memory->model_mapped_rss += of_model ? bytes : 0;
    } else if (read_field(line, "Anonymous", &bytes)) {
      memory->rss_anon += bytes;
      memory->library_rss_anon += of_library ? bytes : 0;
    }
  }
  memory->rss_file = memory->rss - memory->rss_anon;
}

int64_t peak_rss() {
  std::ifstream status("/proc/self/status");
  int64_t bytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (read_field(line, "VmHWM", &bytes)) {
      break;
    }
  }
  return bytes;
}

int64_t heap_in_use() {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
#else
  return 0;
#endif
}

} // namespace

Memory MemoryMeter::read() {
  Memory memory;
  memory.heap_in_use = heap_in_use(); // first, because reading the mappings allocates
  read_mappings(model_, &memory);
  // The kernel updates its peak only if memory shrinks or the peak is read, and from the same inexact counters.
  memory.rss_peak_of_stage = std::max(take_peak(), memory.rss);
  peak_since_start_ = std::max(peak_since_start_, memory.rss_peak_of_stage);
  peak_ = std::max(peak_, peak_since_start_);
  memory.rss_peak_since_start = peak_since_start_;
  memory.rss_peak = peak_;
  memory.peak_was_reset = peak_was_reset_;
  return memory;
}

void MemoryMeter::mark_start() {
  peak_ = take_peak();
  peak_since_start_ = 0;
}

bool MemoryMeter::trim() {
#ifdef __GLIBC__
  malloc_trim(0);
  return true;
#else
  return false;
#endif
}

int64_t MemoryMeter::take_peak() {
  const int64_t peak = peak_rss();
  std::ofstream clear_refs("/proc/self/clear_refs");
  clear_refs << "5" << std::flush;
  peak_was_reset_ = clear_refs.good();
  return peak;
}

} // namespace nf
