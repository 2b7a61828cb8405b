#pragma once

#include <cstdint>
#include <string>

namespace nf {

// The memory of this process, in bytes. A figure is 0 without its source: procfs (Linux) or mallinfo2 (glibc).
struct Memory {
  int64_t rss = 0;                  // resident pages of all mappings
  int64_t rss_anon = 0;             // resident pages without a file: they can be swapped, but not dropped
  int64_t rss_file = 0;             // resident pages of files: the kernel may drop clean ones
  int64_t model_mapped_rss = 0;     // resident pages of MODEL or of files named after it (MODEL.data)
  int64_t heap_in_use = 0;          // bytes that malloc allocated and that are not freed
  int64_t rss_peak = 0;             // the peak of rss since the process started
  int64_t rss_peak_since_start = 0; // the peak of rss since mark_start(); equals rss_peak if !peak_was_reset
  bool peak_was_reset = false;
};

class MemoryMeter {
 public:
  explicit MemoryMeter(const std::string& model) : model_(model) {}

  Memory read() const;

  // Resets the peak, if the kernel allows it, so that it excludes the start of the process.
  void mark_start();

 private:
  std::string model_;
  int64_t peak_before_start_ = 0;
  bool peak_was_reset_ = false;
};

} // namespace nf
