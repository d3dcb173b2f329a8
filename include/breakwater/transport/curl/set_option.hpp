#pragma once

#include <breakwater/errc.hpp>
#include <breakwater/error.hpp>

#include <curl/curl.h>

#include <new>

namespace breakwater::curl {

/// Sets an option of an easy handle. Throws `std::bad_alloc`, or `Exception` if this libcurl cannot do it.
template <class Value>
void set_option(CURL* easy, CURLoption option, Value value) {
    const CURLcode result = curl_easy_setopt(easy, option, value);
    if (result == CURLE_OUT_OF_MEMORY) throw std::bad_alloc{};
    if (result != CURLE_OK) throw Exception{Error{Errc::transport_failed, curl_easy_strerror(result)}};
}

}  // namespace breakwater::curl
