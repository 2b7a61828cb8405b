#include "report.h"

#include <cinttypes>
#include <cmath>
#include <cstdio>

namespace nf {
namespace {

// Nine digits identify a float32. JSON has no NaN or infinity, so these become null, which the reader makes NaN.
void print_number(float value) {
  if (std::isfinite(value)) {
    std::printf("%.9g", static_cast<double>(value));
  } else {
    std::fputs("null", stdout);
  }
}

} // namespace

void Report::start(const std::string& runtime, const std::string& version, int threads) {
  meter_.mark_start();
  stage(
      "start",
      "\"runtime\":\"" + runtime + "\",\"version\":\"" + version + "\",\"threads\":" + std::to_string(threads));
}

void Report::stage(const std::string& name, const std::string& more) {
  const std::chrono::duration<double, std::milli> elapsed = Clock::now() - since_;
  const Memory memory = meter_.read();
  const struct {
    const char* name;
    int64_t bytes;
  } figures[] = {
      {"rss", memory.rss},
      {"rss_anon", memory.rss_anon},
      {"library_rss_anon", memory.library_rss_anon},
      {"rss_file", memory.rss_file},
      {"model_mapped_rss", memory.model_mapped_rss},
      {"heap_in_use", memory.heap_in_use},
      {"rss_peak", memory.rss_peak},
      {"rss_peak_since_start", memory.rss_peak_since_start},
      {"rss_peak_of_stage", memory.rss_peak_of_stage},
  };
  std::printf("{\"stage\":\"%s\"", name.c_str());
  if (!more.empty()) {
    std::printf(",%s", more.c_str());
  }
  for (const auto& figure : figures) {
    std::printf(",\"%s\":%" PRId64, figure.name, figure.bytes);
  }
  std::printf(
      ",\"peak_was_reset\":%s,\"elapsed_ms\":%.3f}\n", memory.peak_was_reset ? "true" : "false", elapsed.count());
  std::fflush(stdout);
  since_ = Clock::now();
}

void Report::trimmed() {
  if (MemoryMeter::trim()) {
    stage("trimmed");
  }
}

void Report::answer(const Logits& logits, double run_ms) {
  std::fputs("{\"logits\":[", stdout);
  for (size_t i = 0; i < logits.count; ++i) {
    std::fputs(i == 0 ? "" : ",", stdout);
    print_number(logits.data[i]);
  }
  std::fputs("],\"shape\":[", stdout);
  for (size_t i = 0; i < logits.shape.size(); ++i) {
    std::printf("%s%" PRId64, i == 0 ? "" : ",", logits.shape[i]);
  }
  std::printf("],\"run_ms\":%.6f}\n", run_ms);
  std::fflush(stdout);
}

void Report::time(double run_ms) {
  std::printf("{\"run_ms\":%.6f}\n", run_ms);
  std::fflush(stdout);
}

} // namespace nf
