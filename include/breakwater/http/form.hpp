#pragma once

#include <breakwater/http/query.hpp>

#include <cstddef>
#include <string>

namespace breakwater {

/// The fields of an HTML form, in the order given: `Form{{"user", "ann"}, {"age", 42}}`.
using Form = Query;

/// As application/x-www-form-urlencoded (WHATWG URL §5.2): like a query, but a space is "+".
inline std::string form_text(const Form& form) {
    std::string text = form.to_string();
    std::size_t to = 0;
    for (std::size_t from = 0; from < text.size(); ++from) {  // a "%" of the user's own is "%25" by now
        const bool is_space = text.compare(from, 3, "%20") == 0;
        text[to++] = is_space ? '+' : text[from];
        if (is_space) from += 2;
    }
    text.resize(to);
    return text;
}

}  // namespace breakwater
