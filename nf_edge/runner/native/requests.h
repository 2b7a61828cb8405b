#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace nf {

// One run of the model at batch 1.
struct Request {
  std::vector<int64_t> input_ids;
  std::vector<int64_t> attention_mask;  // as many as input_ids
  std::string where;                    // "line 3 of the requests"
};

// Reads requests of two lines each: the input ids, then the attention mask, as decimal integers.
class RequestReader {
 public:
  explicit RequestReader(std::istream& input) : input_(input) {}

  // False at the end of the input. Throws BadInput, which names the line.
  bool next(Request* request);

 private:
  bool next_line(std::vector<int64_t>* numbers);
  std::string where() const;

  std::istream& input_;
  int line_number_ = 0;
};

}  // namespace nf
