#pragma once

// Component breakwater::digest: what a downloaded file is verified by.
//
//     client.download("/image.iso", "image.iso", {.verify = bw::sha256("9f86d081…")});
//     client.download("/image.iso", "image.iso", {.verify = bw::server_digest()});

#include <breakwater/digest/given_digest.hpp>
#include <breakwater/digest/server_digest.hpp>
