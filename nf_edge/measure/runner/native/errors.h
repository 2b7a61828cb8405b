#pragma once

#include <stdexcept>
#include <string>

namespace nf {

// The model or a request cannot be used: exit code 3. Any other exception is exit code 1.
class BadInput : public std::runtime_error {
 public:
  BadInput(const std::string& what, const std::string& where) : std::runtime_error(what + ", " + where) {}
};

// The command line is wrong: exit code 2.
class Usage : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

} // namespace nf
