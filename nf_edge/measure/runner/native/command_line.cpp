#include "command_line.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "errors.h"

namespace nf {
namespace {

int parse_count(const std::string& option, const std::string& text) {
  int count = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || stopped != end || count < 1) {
    throw Usage(option + " takes a positive number, not '" + text + "'");
  }
  return count;
}

// /proc/self/smaps names mapped files by their real path, so the model needs its real path too.
std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr), &std::free);
  if (!resolved || access(resolved.get(), R_OK) != 0) {
    throw BadInput(std::string("cannot read the model: ") + std::strerror(errno), path);
  }
  return resolved.get();
}

} // namespace

CommandLine parse_command_line(int argc, char** argv) {
  std::string model;
  int threads = 0;
  int rows = 1;
  bool times_only = false;
  bool cold = false;
  bool trim = false;
  std::string operators;
  std::string trace;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--threads" && i + 1 < argc) {
      threads = parse_count(argument, argv[++i]);
    } else if (argument == "--rows" && i + 1 < argc) {
      rows = parse_count(argument, argv[++i]);
    } else if (argument == "--times") {
      times_only = true;
    } else if (argument == "--cold") {
      cold = true;
    } else if (argument == "--trim") {
      trim = true;
    } else if (argument == "--operators" && i + 1 < argc) {
      operators = argv[++i];
    } else if (argument == "--trace" && i + 1 < argc) {
      trace = argv[++i];
    } else if (argument.empty() || argument[0] == '-' || !model.empty()) {
      throw Usage("unexpected argument '" + argument + "'");
    } else {
      model = argument;
    }
  }
  if (model.empty()) {
    throw Usage("no model given");
  }
  if (threads == 0) {
    threads = std::max(1u, std::thread::hardware_concurrency());
  }
  return {real_path(model), threads, times_only, operators, trace, cold, trim, rows};
}

} // namespace nf
