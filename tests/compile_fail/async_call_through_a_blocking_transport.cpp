// expect: this client's transport has no async_send
#include <breakwater/resilient_client.hpp>

namespace bw = breakwater;

struct Teapot {
    bw::Result<bw::Response> send(const bw::Request&, const bw::SendOptions&) const;
};

auto ask(const bw::ResilientClient<Teapot>& client) { return client.async_get("/"); }
