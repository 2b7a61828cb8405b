#pragma once

#include <string>

namespace nf {

struct CommandLine {
  std::string model; // absolute, symbolic links resolved
  int threads;
  bool times_only;       // answers are times without logits
  std::string operators; // a library of operators that the model calls; empty: none
  std::string trace;     // a file for what every instruction gives (ExecuTorch only); empty: none
};

// Reads `MODEL [--threads N] [--times] [--operators LIBRARY] [--trace FILE]`. Without --threads: as many as there are
// CPUs for this process.
// Throws Usage, or BadInput where MODEL cannot be read.
CommandLine parse_command_line(int argc, char** argv);

} // namespace nf
