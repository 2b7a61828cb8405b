#pragma once

#include <chrono>
#include <string>

#include "memory.h"
#include "model.h"

namespace nf {

// Writes JSON lines to stdout, one object per line. Each line is flushed, so that a crash loses none.
class Report {
 public:
  explicit Report(const std::string& model) : meter_(model) {}

  // The stage "start": the runtime is loaded, and the model is not read yet.
  void start(const std::string& runtime, const std::string& version, int threads);

  // Writes a stage; `more` contains additional members of the object as JSON.
  void stage(const std::string& name, const std::string& more = "");

  // Returns free heap to the system, then writes the stage "trimmed"; writes nothing if the C library cannot do that.
  void trimmed();

  void answer(const Logits& logits, double run_ms);

  // Writes the time of a run without its logits.
  void time(double run_ms);

 private:
  using Clock = std::chrono::steady_clock;

  MemoryMeter meter_;
  Clock::time_point since_ = Clock::now();
};

} // namespace nf
