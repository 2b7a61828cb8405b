#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace nf {

// One run of the model, with one row unless --rows gives more.
struct Request {
  std::vector<int64_t> input_ids; // one row after another
  std::vector<int64_t> second;    // the attention mask; for a model with a cache, the position of the first id
  std::string where;              // "line 3 of the requests"

  // The second line as attention mask. Throws BadInput if it does not have as many numbers as input_ids.
  std::vector<int64_t>& attention_mask();
  int64_t start() const;
};

// Reads requests of two lines with decimal integers. The first line is the input ids. The second line depends on
// the model:
//   Without a cache: the attention mask, one number per id.
//   With a cache: the position of the first id. A prompt starts at 0, and a decoding step is one id at the next
//   position. The cache drops its tokens from this position on.
class RequestReader {
 public:
  explicit RequestReader(std::istream& input) : input_(input) {}

  // Reads the next request; returns false at the end of the input. Throws BadInput with the line number.
  bool next(Request* request);

 private:
  bool next_line(std::vector<int64_t>* numbers);
  std::string where() const;

  std::istream& input_;
  int line_number_ = 0;
};

} // namespace nf
