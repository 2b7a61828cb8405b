#include "drive.h"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "errors.h"
#include "page_cache.h"
#include "requests.h"

namespace nf {
namespace {

void answer_requests(Model& model, bool times_only, Report& report) {
  RequestReader requests(std::cin);
  bool first = true;
  for (Request request; requests.next(&request); first = false) {
    model.prepare(request);
    const auto began = std::chrono::steady_clock::now();
    const Logits logits = model.run();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    if (times_only) {
      report.time(took.count());
    } else {
      report.answer(logits, took.count());
    }
    if (first) {
      report.stage("first_run");
    }
  }
  report.stage("finished", "\"temporary_peak\":" + std::to_string(model.temporary_peak()));
}

} // namespace

int drive(const char* program, int argc, char** argv, OpenModel open) {
  const auto fail = [program](int exit_code, const char* message) {
    std::fprintf(stderr, "%s: %s\n", program, message);
    return exit_code;
  };
  try {
    const CommandLine command = parse_command_line(argc, argv);
    Report report(command.model);
    if (command.cold) {
      drop_cached_pages(command.model);
    }
    const std::unique_ptr<Model> model = open(command, report);
    if (command.trim) {
      report.trimmed();
    }
    answer_requests(*model, command.times_only, report);
    return 0;
  } catch (const Usage& error) {
    fail(2, error.what());
    std::fprintf(stderr, "usage: %s %s\n", program, kUsage);
    return 2;
  } catch (const BadInput& error) {
    return fail(3, error.what());
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}

} // namespace nf
