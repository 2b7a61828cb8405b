#pragma once

#include <cstdint>
#include <string>

namespace nf {

// What this process holds, in bytes. Zero where the system cannot tell (procfs is Linux's, mallinfo2 glibc's).
struct Memory {
  int64_t rss = 0;                  // resident, summed over the mappings
  int64_t rss_anon = 0;             // of it, pages with no file behind them: they cannot be dropped, only swapped
  int64_t rss_file = 0;             // of it, pages of files: the kernel may drop those that are clean
  int64_t model_mapped_rss = 0;     // of the pages of files, those of MODEL or of files named after it (MODEL.data)
  int64_t heap_in_use = 0;          // allocated and not freed; rss_anon beyond it is freed or was never malloc's
  int64_t rss_peak = 0;             // the most that was resident since the process began
  int64_t rss_peak_since_start = 0; // the same since mark_start(); `rss_peak` where !peak_was_reset
  bool peak_was_reset = false;
};

class MemoryMeter {
 public:
  explicit MemoryMeter(const std::string& model) : model_(model) {}

  Memory read() const;

  // Forgets the peak of the process' own start-up, where the kernel lets us.
  void mark_start();

 private:
  std::string model_;
  int64_t peak_before_start_ = 0;
  bool peak_was_reset_ = false;
};

} // namespace nf
