#include <breakwater/outcome.hpp>
#include <catch_shim.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;
using bw::Outcome;

namespace {

Error status_error(int status) { return Error{Errc::http_status}.set_status(status); }

}  // namespace

TEST_CASE("a tally of one says what the outcome says, and a neutral one says nothing") {
    STATIC_REQUIRE(tally_of(Outcome::success) == bw::Tally{.successes = 1});
    STATIC_REQUIRE(tally_of(Outcome::failure) == bw::Tally{.failures = 1, .tail = 1});
    STATIC_REQUIRE(tally_of(Outcome::neutral) == bw::Tally{});
}

TEST_CASE("5xx, 408 and 429 speak against the service; every other answer shows that it works") {
    for (const int status : {200, 204, 301, 304, 400, 401, 403, 404, 409, 410, 422, 451}) {
        CAPTURE(status);
        CHECK(bw::outcome_of_status(status) == Outcome::success);
        CHECK(default_outcome(status_error(status)) == Outcome::success);
    }
    for (const int status : {408, 429, 500, 501, 502, 503, 504, 505, 599}) {
        CAPTURE(status);
        CHECK(bw::outcome_of_status(status) == Outcome::failure);
        CHECK(default_outcome(status_error(status)) == Outcome::failure);
    }
}

TEST_CASE("a 429 with Retry-After is neutral, a 503 with it is a failure") {
    CHECK(default_outcome(status_error(429).set_retry_after(0s)) == Outcome::neutral);
    CHECK(default_outcome(status_error(429).set_retry_after(9s)) == Outcome::neutral);
    CHECK(default_outcome(status_error(503).set_retry_after(9s)) == Outcome::failure);
}

TEST_CASE("what the service had no part in is neutral") {
    for (const Errc code : {Errc::circuit_open, Errc::rate_limited, Errc::exceeds_burst, Errc::bulkhead_full,
                            Errc::budget_exhausted, Errc::store_unavailable, Errc::deadline_too_near, Errc::throttled,
                            Errc::would_deadlock, Errc::cancelled, Errc::invalid_options, Errc::invalid_request}) {
        CAPTURE(to_string(code));
        CHECK(default_outcome(Error{code}) == Outcome::neutral);
    }
}

TEST_CASE("no answer, or half of one, is a failure") {
    for (const Errc code : {Errc::resolve_failed, Errc::connect_failed, Errc::connect_timeout, Errc::tls_failed,
                            Errc::tls_untrusted, Errc::attempt_timeout, Errc::send_failed, Errc::receive_failed,
                            Errc::empty_answer, Errc::truncated, Errc::protocol_error, Errc::transport_failed,
                            Errc::deadline_exceeded, Errc::exception, Errc::bad_result, Errc::failure}) {
        CAPTURE(to_string(code));
        CHECK(default_outcome(Error{code}) == Outcome::failure);
    }
}

TEST_CASE("a redirect that we refuse is an answer of a service that works") {
    CHECK(default_outcome(Error{Errc::redirect_refused}.set_status(302)) == Outcome::success);
    CHECK(default_outcome(Error{Errc::redirect_refused}) == Outcome::success);
    CHECK(default_outcome(Error{Errc::too_many_redirects}) == Outcome::success);
}

TEST_CASE("an answer that is whole but not what was expected is one of a service that works") {
    CHECK(default_outcome(Error{Errc::digest_mismatch}) == Outcome::success);
}

TEST_CASE("an exception counts by its status if it has one") {
    CHECK(default_outcome(Error{Errc::exception}.set_status(404)) == Outcome::success);
    CHECK(default_outcome(Error{Errc::exception}.set_status(502)) == Outcome::failure);
}

TEST_CASE("a real failure that a refusal stopped from being retried is a failure still") {
    CHECK(default_outcome(status_error(500).set_stopped_by(Errc::circuit_open)) == Outcome::failure);
}

TEST_CASE("the statuses worth a retry are 408, 429, 500, 502, 503 and 504") {
    int count = 0;
    for (int status = 100; status < 600; ++status) count += bw::is_retryable_status(status);
    CHECK(count == 6);
    for (const int status : {408, 429, 500, 502, 503, 504}) CHECK(bw::is_retryable_status(status));
}

TEST_CASE("a classifier decides before the default; silent, absent or throwing it decides nothing") {
    const bw::Classifier decides = [](const Error&) { return Outcome::neutral; };
    const bw::Classifier silent = [](const Error&) { return std::nullopt; };
    const bw::Classifier throws = [](const Error&) -> std::optional<Outcome> { throw std::runtime_error{"broken"}; };
    CHECK(decided_by(decides, status_error(500)) == Outcome::neutral);
    CHECK(decided_by(silent, status_error(500)) == std::nullopt);
    CHECK(decided_by(throws, status_error(500)) == std::nullopt);
    CHECK(decided_by({}, status_error(500)) == std::nullopt);
    CHECK(classify(decides, status_error(500)) == Outcome::neutral);
    CHECK(classify(silent, status_error(500)) == Outcome::failure);
    CHECK(classify(throws, status_error(404)) == Outcome::success);
    CHECK(classify({}, status_error(500)) == Outcome::failure);
}
