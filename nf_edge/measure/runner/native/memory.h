#pragma once

#include <cstdint>
#include <string>

namespace nf {

// The memory of this process, in bytes. A figure is 0 without its source: procfs (Linux) or mallinfo2 (glibc).
struct Memory {
  int64_t rss = 0;                  // resident pages of all mappings
  int64_t rss_anon = 0;             // resident pages without a file, private to the process
  int64_t library_rss_anon = 0;     // pages of rss_anon in mappings of libraries, which relocation wrote
  int64_t rss_file = 0;             // resident pages of files: the kernel may drop clean ones
  int64_t model_mapped_rss = 0;     // resident pages of MODEL or of files named after it (MODEL.data)
  int64_t heap_in_use = 0;          // bytes that malloc allocated and that are not freed (emulation needs it)
  int64_t rss_peak = 0;             // the peak of rss since the process started
  int64_t rss_peak_since_start = 0; // the peak of rss since mark_start(); equals rss_peak if !peak_was_reset
  int64_t rss_peak_of_stage = 0;    // the peak of rss since the previous read(); equals rss_peak if !peak_was_reset
  bool peak_was_reset = false;
};

class MemoryMeter {
 public:
  explicit MemoryMeter(const std::string& model) : model_(model) {}

  // Reads the memory, and resets the peak of the stage.
  Memory read();

  // Makes rss_peak_since_start exclude the start of the process, if the kernel can reset the peak.
  void mark_start();

  // Returns free pages of the heap to the system; false if the C library cannot do that.
  static bool trim();

 private:
  // The kernel's peak since the last call. The kernel then starts a new peak, if it can.
  int64_t take_peak();

  std::string model_;
  int64_t peak_ = 0;
  int64_t peak_since_start_ = 0;
  bool peak_was_reset_ = false;
};

} // namespace nf
