// expect: deleted.*json
// The document lives in the response: a reference into a temporary one would dangle.
#include <breakwater/http/response.hpp>

namespace bw = breakwater;

bw::Response fetch();

auto& products() { return fetch().json()["products"]; }
