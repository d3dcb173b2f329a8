// Header fields both ways: what `validate` accepts cannot break a line and arrives as it was sent; what a server sends,
// however it is cut, becomes fields without line ends.
#include "input.hpp"

#include <breakwater/http/request.hpp>
#include <breakwater/transport/curl/answer.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace bw = breakwater;
using bw::curl::Answer;

namespace {

bool has_line_end(std::string_view text) { return text.find_first_of(std::string_view{"\r\n\0", 3}) != text.npos; }

bool send(Answer& answer, std::string line) {
    return Answer::on_header(line.data(), 1, line.size(), &answer) == line.size();
}

/// What a server would have to send for this answer, line by line.
bool receive(Answer& answer, const bw::Headers& headers) {
    answer.begin(Answer::Body::expected, std::size_t{1} << 20, std::size_t{1} << 20);
    bool good = send(answer, "HTTP/1.1 200 OK\r\n");
    for (const bw::Header& field : headers) good = good && send(answer, field.name + ": " + field.value + "\r\n");
    return good && send(answer, "\r\n") && answer.has_headers();
}

void there_and_back(const bw::Headers& headers) {
    const bw::Request request{.url = "https://api.example.com/", .headers = headers};
    if (!bw::validate(request)) return;
    for (const bw::Header& field : headers) {
        fuzz::require(!has_line_end(field.name) && !has_line_end(field.value), "no field ends its line");
        fuzz::require(!field.name.empty() && field.name.find_first_of(": \t") == field.name.npos, "a name is a token");
        fuzz::require(!bw::detail::equals_ignoring_case(field.name, "content-length"), "the length is not ours");
    }
    Answer answer;
    fuzz::require(receive(answer, headers), "fields that may be sent can be read");
    const bw::Response response = **answer.take();
    fuzz::require(response.headers.size() == headers.size(), "one line is one field");
    fuzz::require(std::equal(headers.begin(), headers.end(), response.headers.begin(),
                             [](const bw::Header& sent, const bw::Header& read) {
                                 return sent.name == read.name && bw::detail::trim(sent.value) == read.value;
                             }),
                  "what is sent is what arrives, but for spaces around the value");
}

void hostile_lines(fuzz::Input input) {
    Answer answer;
    answer.begin(Answer::Body::expected, 4'096, 64);
    std::size_t bytes = 0;
    while (!input.empty() && !answer.has_headers()) {
        const std::string line = std::string{input.take_line()} + '\n';
        bytes += line.size();
        if (!send(answer, line)) {
            fuzz::require(answer.refusal().reason != nullptr, "a refusal says why");
            return;
        }
        fuzz::require(bytes <= 4'096, "headers are bounded");
    }
    if (!answer.has_headers()) return;
    std::string body{input.rest()};
    const bool fits = Answer::on_body(body.data(), 1, body.size(), &answer) == body.size();
    fuzz::require(fits == (body.size() <= 64), "bodies are bounded");
    const bw::Response response = **answer.take();
    fuzz::require(response.status >= 200 && response.status <= 599, "the status is that of a final answer");
    for (const bw::Header& field : response.headers)
        fuzz::require(!field.name.empty() && field.value.find('\n') == field.value.npos, "a field is one line");
}

void edit(bw::Headers headers) {
    if (headers.empty()) return;
    const bw::Header first = *headers.begin();
    const std::size_t others = headers.size() - headers.get_all(first.name).size();
    headers.set(first.name, "new");
    fuzz::require(headers.get(first.name) == "new" && headers.size() == others + 1, "set leaves one field of the name");
    fuzz::require(headers.begin()->name == first.name, "in its place");
    fuzz::require(headers.remove(first.name) == 1 && headers.size() == others && !headers.contains(first.name),
                  "remove leaves none");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const bw::Headers headers = fuzz::Input{data, size}.take_headers();
    there_and_back(headers);
    for (const bw::Header& field : headers) there_and_back({field});
    // All in one field: the bytes that separate lines and names are then part of a value and a name.
    const std::string text{fuzz::Input{data, size}.rest()};
    there_and_back({{"X-Any", text}});
    there_and_back({{text, "any"}});
    edit(headers);
    hostile_lines(fuzz::Input{data, size});
    return 0;
}
