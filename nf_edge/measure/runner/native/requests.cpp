#include "requests.h"

#include <cctype>
#include <charconv>

#include "errors.h"

namespace nf {

std::vector<int64_t>& Request::attention_mask() {
  if (second.size() != input_ids.size()) {
    throw BadInput(
        "the attention mask has " + std::to_string(second.size()) + " numbers for " + std::to_string(input_ids.size()) +
            " input ids",
        where);
  }
  return second;
}

int64_t Request::start() const {
  if (second.size() != 1) {
    throw BadInput(
        "the model has a cache, so the second line must be one number, the position of the first id; it has " +
            std::to_string(second.size()) + " numbers",
        where);
  }
  return second.front();
}

bool RequestReader::next(Request* request) {
  if (!next_line(&request->input_ids)) {
    return false;
  }
  request->where = where();
  if (!next_line(&request->second)) {
    throw BadInput("input ids without an attention mask or a position on the next line", request->where);
  }
  return true;
}

bool RequestReader::next_line(std::vector<int64_t>* numbers) {
  std::string line;
  if (!std::getline(input_, line)) {
    return false;
  }
  ++line_number_;
  numbers->clear();
  const char* position = line.data();
  const char* const end = position + line.size();
  const auto skip_blanks = [&] {
    while (position != end && std::isspace(static_cast<unsigned char>(*position))) {
      ++position;
    }
  };
  for (skip_blanks(); position != end; skip_blanks()) {
    int64_t number = 0;
    const auto [stopped, error] = std::from_chars(position, end, number);
    if (error != std::errc() || (stopped != end && !std::isspace(static_cast<unsigned char>(*stopped)))) {
      throw BadInput("this is not a list of integers", where());
    }
    numbers->push_back(number);
    position = stopped;
  }
  if (numbers->empty()) {
    throw BadInput("there are no numbers", where());
  }
  return true;
}

std::string RequestReader::where() const { return "line " + std::to_string(line_number_) + " of the requests"; }

} // namespace nf
