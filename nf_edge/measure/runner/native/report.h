#pragma once

#include <chrono>
#include <string>

#include "memory.h"
#include "model.h"

namespace nf {

// Writes the JSON lines on stdout, one object a line, flushed at once so that a crash loses none.
class Report {
 public:
  explicit Report(const std::string& model) : meter_(model) {}

  // The process is up with its runtime, and has not touched the model.
  void start(const std::string& runtime, const std::string& version, int threads);

  // `more` is further members of the object, as JSON.
  void stage(const std::string& name, const std::string& more = "");

  void answer(const Logits& logits, double run_ms);

  // An answer without the logits.
  void time(double run_ms);

 private:
  using Clock = std::chrono::steady_clock;

  MemoryMeter meter_;
  Clock::time_point since_ = Clock::now();
};

} // namespace nf
