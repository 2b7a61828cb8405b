#include "requests.h"

#include <cctype>
#include <charconv>

#include "errors.h"

namespace nf {

bool RequestReader::next(Request* request) {
  if (!next_line(&request->input_ids)) {
    return false;
  }
  request->where = where();
  if (!next_line(&request->attention_mask)) {
    throw BadInput("input ids without an attention mask on the next line", request->where);
  }
  if (request->input_ids.size() != request->attention_mask.size()) {
    throw BadInput("the attention mask has " + std::to_string(request->attention_mask.size()) + " numbers for " +
                       std::to_string(request->input_ids.size()) + " input ids",
                   where());
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
      throw BadInput("not a list of integers", where());
    }
    numbers->push_back(number);
    position = stopped;
  }
  if (numbers->empty()) {
    throw BadInput("no numbers", where());
  }
  return true;
}

std::string RequestReader::where() const { return "line " + std::to_string(line_number_) + " of the requests"; }

}  // namespace nf
