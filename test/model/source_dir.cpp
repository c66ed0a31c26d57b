// Where lib/ is, for the labels at its lines.  A file of its own: no other depends on the path of the build.

#include "model/model_order.hpp"

std::string weft::model::source_dir() {
  return WEFT_SOURCE_DIR;
}
