#pragma once

#include <breakwater/client/paging.hpp>
#include <breakwater/client/prepare.hpp>
#include <breakwater/http/response.hpp>
#include <breakwater/result.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace breakwater {

namespace detail {

/// Moves through a range that is read once and keeps its current element.
template <class Range>
class SinglePassIterator {
public:
    using value_type = typename Range::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit SinglePassIterator(Range& range) noexcept : range_{&range} {}
    SinglePassIterator(SinglePassIterator&&) noexcept = default;
    SinglePassIterator& operator=(SinglePassIterator&&) noexcept = default;

    value_type& operator*() const noexcept { return *range_->current_; }
    value_type* operator->() const noexcept { return &*range_->current_; }
    SinglePassIterator& operator++() {
        range_->advance();
        return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !range_->current_; }

private:
    Range* range_;
};

}  // namespace detail

/// The pages of a listing, each asked for when the loop comes to it: an input range of `Result<Response>`.
///
///     for (auto& page : client.pages("/inventory", {.by = bw::CursorPages{.at = "/next"}})) {
///         if (!page) return report(page.error());
///         use(page->json());
///     }
///
/// Each page is a call of the client of its own, with its cache, retries and deadline. An error is the last element:
/// a failed call, a next page on another origin or that has been before, a body without what paging needs, more than
/// `max_pages`. So a loop that looks at each element misses none and ends. Nothing is sent before `begin()`, which may
/// be called once more but does not begin anew. Not thread-safe; must not be moved while it is iterated.
template <class Client>
class Pages {
public:
    using value_type = Result<Response>;
    using iterator = detail::SinglePassIterator<Pages>;

    Pages(Client client, std::string target, PageOptions options)
        : client_{std::move(client)},
          subject_{subject_of(Method::get, target)},
          paging_{client_.options().base_url, std::move(target), std::move(options)} {}
    Pages(Pages&&) noexcept = default;
    Pages& operator=(Pages&&) noexcept = default;

    iterator begin() {
        if (!has_begun_) advance();
        return iterator{*this};
    }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// Where to go on behind the current page, or with the page that could not be had: for `PageOptions::from`, now or
    /// after a restart. Nullopt: that was the last page. May hold what the service put into its links.
    const std::optional<std::string>& position() const noexcept { return paging_.position(); }

    /// A page's list, as `PageOptions::items` says.
    Result<nlohmann::json*> list_of(const Response& page) const {
        auto list = paging_.list_of(page);
        if (!list) list.error().set_subject(subject_);
        return list;
    }

private:
    friend iterator;

    void advance() {
        const bool was_good = !has_begun_ || (current_ && *current_);
        has_begun_ = true;
        current_.reset();
        if (!was_good || has_ended_) return;
        if (!paging_.position() && !pending_) return;
        Result<void> aimed = pending_ ? fail(*std::exchange(pending_, {})) : paging_.aim();
        if (!aimed) {
            aimed.error().set_subject(subject_);
            current_.emplace(fail(std::move(aimed.error())));
            has_ended_ = true;
            return;
        }
        current_.emplace(client_.get(paging_.target(), paging_.request()));
        if (!*current_) return;
        if (auto passed = paging_.pass(**current_); !passed) pending_ = std::move(passed.error());
    }

    Client client_;
    std::string subject_;
    detail::Paging<> paging_;
    std::optional<value_type> current_;
    std::optional<Error> pending_;  // what is wrong with the page after the current one
    bool has_begun_ = false;
    bool has_ended_ = false;
};

/// The items of a listing, page by page: an input range of `Result<nlohmann::json>`. Like `Pages`; a page without its
/// list (`PageOptions::items`) is an error, too.
template <class Client, class Json = nlohmann::json>
class Items {
public:
    using value_type = Result<Json>;
    using iterator = detail::SinglePassIterator<Items>;

    explicit Items(Pages<Client> pages) : pages_{std::move(pages)} {}
    Items(Items&&) noexcept = default;
    Items& operator=(Items&&) noexcept = default;

    iterator begin() {
        if (!has_begun_) advance();
        return iterator{*this};
    }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// As of `Pages`: behind the page that the current item is of.
    const std::optional<std::string>& position() const noexcept { return pages_.position(); }

private:
    friend iterator;

    void advance() {
        const bool was_good = !has_begun_ || (current_ && *current_);
        if (!was_good) return current_.reset();
        for (;;) {
            if (list_ != nullptr && next_ < list_->size()) {
                current_.emplace(std::move((*list_)[next_++]));
                return;
            }
            auto page = pages_.begin();
            if (std::exchange(has_begun_, true)) ++page;
            list_ = nullptr;
            next_ = 0;
            if (page == pages_.end()) return current_.reset();
            if (!*page) return void(current_.emplace(fail((*page).error())));
            auto list = pages_.list_of(**page);
            if (!list) return void(current_.emplace(fail(std::move(list.error()))));
            list_ = *list;
        }
    }

    Pages<Client> pages_;
    std::optional<value_type> current_;
    Json* list_ = nullptr;
    std::size_t next_ = 0;
    bool has_begun_ = false;
};

}  // namespace breakwater
