#include <breakwater/error.hpp>
#include <breakwater/result.hpp>
#include <catch_shim.hpp>

#include <allocations.hpp>

#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace bw = breakwater;
using namespace std::chrono_literals;
using bw::Errc;
using bw::Error;

namespace {

/// Every enumerator there is: `failure` is the last one.
template <class F>
void for_each_code(F function) {
    for (int code = 0; code <= static_cast<int>(Errc::failure); ++code) function(static_cast<Errc>(code));
}

std::string printed(const Error& error) {
    std::ostringstream out;
    out << error;
    return out.str();
}

}  // namespace

TEST_CASE("an error is a value of 64 bytes that moves without throwing") {
    STATIC_REQUIRE(sizeof(Error) == 64);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<Error>);
    STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<Error>);
}

TEST_CASE("every code has a name of its own and a sentence of its own") {
    std::set<std::string> names;
    std::set<std::string> sentences;
    std::size_t codes = 0;
    for_each_code([&](Errc code) {
        ++codes;
        names.emplace(to_string(code));
        sentences.insert(Error{code}.message());
    });
    CHECK(names.size() == codes);
    CHECK(sentences.size() == codes);
    CHECK(names.count("unknown") == 0);
    CHECK(sentences.count("unknown error") == 0);
}

TEST_CASE("only refusals, the caller's mistakes and failures to connect are known never to have been sent") {
    const std::set<Errc> never_sent{Errc::circuit_open,      Errc::rate_limited,     Errc::exceeds_burst,
                                    Errc::bulkhead_full,     Errc::budget_exhausted, Errc::store_unavailable,
                                    Errc::deadline_too_near, Errc::would_deadlock,   Errc::throttled,
                                    Errc::invalid_options,   Errc::invalid_request,  Errc::resolve_failed,
                                    Errc::connect_failed,    Errc::connect_timeout,  Errc::tls_failed,
                                    Errc::tls_untrusted,     Errc::not_replayable};
    for_each_code([&](Errc code) {
        CAPTURE(to_string(code));
        CHECK((Error{code}.sent() == bw::Sent::no) == never_sent.contains(code));
    });
}

TEST_CASE("a refusal is built, copied and asked without allocating") {
    const auto count = test::allocations_in([] {
        const Error error =
            Error::refusal(Errc::circuit_open, "dairy_supplier", 3s).set_circuit(bw::CircuitState::open);
        const Error copy = error;
        bw::Result<int> result = bw::fail(copy);
        if (!result.error().is_refusal() || result.error().policy().empty()) throw std::logic_error{"no refusal"};
    });
    CHECK(count == 0);
    const auto words = test::allocations_in([] { (void)Error{Errc::failure, "words take memory, as this one shows"}; });
    CHECK((words > 0) == test::counts_allocations);
}

TEST_CASE("a refusal says who refused, in which state, and when to come back") {
    const Error error = Error::refusal(Errc::circuit_open, "dairy_supplier", 42s).set_circuit(bw::CircuitState::open);
    CHECK(error.policy() == "dairy_supplier");
    CHECK(error.circuit_state() == bw::CircuitState::open);
    CHECK(error.retry_after() == 42s);
    CHECK(error.attempts() == 0);
    CHECK(error.message() == "the circuit is open (dairy_supplier); try again in 42 s");
    CHECK(Error::refusal(Errc::circuit_open, "ledger").set_circuit(bw::CircuitState::half_open).message() ==
          "the circuit is half-open and its probes are taken (ledger)");
}

TEST_CASE("a policy's name is cut, not allocated, and may be empty") {
    CHECK(Error::refusal(Errc::rate_limited, "a_name_longer_than_twenty_three_bytes").policy() ==
          "a_name_longer_than_twen");
    CHECK(Error::refusal(Errc::rate_limited, "").message() == "the rate limit is reached");
}

TEST_CASE("an error asked for what it does not have answers nothing") {
    const Error error{Errc::receive_failed};
    CHECK_FALSE(error.stopped_by());
    CHECK_FALSE(error.status());
    CHECK_FALSE(error.retry_after());
    CHECK_FALSE(error.circuit_state());
    CHECK(error.policy().empty());
    CHECK(error.detail().empty());
    CHECK(error.subject().empty());
    CHECK(error.exception() == nullptr);
    CHECK(error.response() == nullptr);
    CHECK(error.timeline().empty());
}

TEST_CASE("an error that a refuser stopped keeps the real failure and is still seen as that refusal") {
    const Error error = Error{Errc::attempt_timeout}.set_attempts(2).set_stopped_by(Errc::circuit_open);
    CHECK(error.code() == Errc::attempt_timeout);
    CHECK(error.stopped_by() == Errc::circuit_open);
    CHECK(error.is_refusal());
    CHECK(error.is_refusal(Errc::circuit_open));
    CHECK_FALSE(error.is_refusal(Errc::rate_limited));
    CHECK_FALSE(error.is_refusal(Errc::attempt_timeout));
    CHECK(error.message() == "no answer in time, after 2 attempts; gave up: the circuit is open");
}

TEST_CASE("an error that the deadline or a stop request ended is no refusal") {
    CHECK_FALSE(Error{Errc::http_status}.set_stopped_by(Errc::deadline_exceeded).is_refusal());
    CHECK_FALSE(Error{Errc::http_status}.set_stopped_by(Errc::deadline_exceeded).is_refusal(Errc::deadline_exceeded));
    CHECK_FALSE(Error{Errc::cancelled}.is_refusal());
}

TEST_CASE("the message is one line: what, after how many attempts, why it ended, when to try again") {
    const Error error = Error{Errc::http_status}
                            .set_subject("GET /inventory")
                            .set_status(503)
                            .set_attempts(4)
                            .set_retry_after(90s)
                            .set_stopped_by(Errc::deadline_exceeded);
    CHECK(error.message() ==
          "GET /inventory: status 503, after 4 attempts; gave up: the deadline passed; try again in 90 s");
    CHECK(printed(error) == error.message());
    CHECK(Error{Errc::http_status}.set_status(404).set_attempts(1).message() == "status 404");
    CHECK(Error(Errc::connect_failed, "connection refused by 127.0.0.1:9").message() ==
          "no connection: connection refused by 127.0.0.1:9");
    CHECK(Error{Errc::http_status}.message() == "the service answered with an error");
}

TEST_CASE("the message stays one line whatever the words from outside hold") {
    const std::string message = Error(Errc::exception, "first\nsecond\r\nthird\tfourth").message();
    CHECK(message.find_first_of("\r\n") == std::string::npos);
}

TEST_CASE("bad options are told by their own words alone") {
    CHECK(Error(Errc::invalid_options, "retry.backoff.base: must be > 0s, got 0s").message() ==
          "retry.backoff.base: must be > 0s, got 0s");
    CHECK(Error{Errc::invalid_options}.message() == "invalid options");
}

TEST_CASE("a negative retry_after reads as now, none as none") {
    CHECK(Error::refusal(Errc::rate_limited, "x", -5s).retry_after() == 0s);
    CHECK(Error::refusal(Errc::rate_limited, "x", 0s).retry_after() == 0s);
    CHECK_FALSE(Error::refusal(Errc::rate_limited, "x", 1s).set_retry_after({}).retry_after());
}

TEST_CASE("copies share what takes memory, and a change to one does not reach the other") {
    Error error{Errc::exception, "a detail too long for any small-string buffer, so that copying it would allocate"};
    Error copy{Errc::failure};
    CHECK(test::allocations_in([&] { copy = error; }) == 0);
    CHECK(copy.detail().data() == error.detail().data());
    copy.set_detail("changed").set_subject("GET /");
    CHECK(copy.detail() == "changed");
    CHECK(error.detail().starts_with("a detail too long"));
    CHECK(error.subject().empty());
}

TEST_CASE("an error keeps the exception, the timeline and the subject side by side") {
    Error error{Errc::exception, "boom"};
    error.set_exception(std::make_exception_ptr(std::out_of_range{"boom"}));
    error.set_timeline({bw::Attempt{.number = 1, .took = 5ms, .error = Errc::exception}});
    error.set_subject("reading");
    CHECK(error.detail() == "boom");
    CHECK(error.timeline().size() == 1);
    CHECK(error.timeline()[0].took == 5ms);
    CHECK(error.subject() == "reading");
    CHECK_THROWS_AS(std::rethrow_exception(error.exception()), std::out_of_range);
}

TEST_CASE("value_or_throw gives the value, the user's own exception unchanged, or our exception") {
    CHECK(bw::value_or_throw(bw::Result<int>{7}) == 7);
    CHECK_NOTHROW(bw::value_or_throw(bw::Result<void>{}));
    CHECK(*bw::value_or_throw(bw::Result<std::unique_ptr<int>>{std::make_unique<int>(3)}) == 3);

    const bw::Result<int> own =
        bw::fail(Error{Errc::exception}.set_exception(std::make_exception_ptr(std::out_of_range{"mine"})));
    CHECK_THROWS_AS(bw::value_or_throw(own), std::out_of_range);

    const bw::Result<int> refused = bw::fail(Error::refusal(Errc::rate_limited, "api", 2s));
    try {
        bw::value_or_throw(refused);
        FAIL("nothing was thrown");
    } catch (const bw::Exception& thrown) {
        CHECK(thrown.error().is_refusal(Errc::rate_limited));
        CHECK(std::string{thrown.what()} == "the rate limit is reached (api); try again in 2 s");
    }
}

TEST_CASE("durations are printed as a person reads them") {
    CHECK(bw::format_duration(-1s) == "0 s");
    CHECK(bw::format_duration(0s) == "0 us");
    CHECK(bw::format_duration(999us) == "999 us");
    CHECK(bw::format_duration(1500us) == "1.5 ms");
    CHECK(bw::format_duration(12ms) == "12 ms");
    CHECK(bw::format_duration(999'499us) == "999 ms");
    CHECK(bw::format_duration(999'500us) == "1 s");
    CHECK(bw::format_duration(1250ms) == "1.3 s");
    CHECK(bw::format_duration(60s) == "60 s");
    CHECK(bw::format_duration(2min) == "2 min");
    CHECK(bw::format_duration(2h) == "2 h");
    CHECK(bw::format_duration(bw::Duration::max()).ends_with(" h"));
}
