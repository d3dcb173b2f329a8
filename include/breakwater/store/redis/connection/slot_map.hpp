#pragma once

#include <breakwater/store/redis/connection/slots.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace breakwater::redis {

class Node;

/// Which of a cluster's masters keeps which slot.
class SlotMap {
public:
    void clear() {
        owners_.assign(cluster_slots, nullptr);
        masters_.clear();
        tags_.clear();
    }
    void set(const SlotRange& range, Node& node) {
        if (owners_.empty()) clear();
        std::fill(owners_.begin() + range.first, owners_.begin() + range.last + 1, &node);
        masters_.insert(&node);
    }
    void set(std::uint16_t slot, Node& node) { set(SlotRange{.first = slot, .last = slot}, node); }

    /// Null if nobody is known to keep it.
    Node* owner(std::size_t slot) const noexcept { return owners_.empty() ? nullptr : owners_[slot]; }
    const std::set<Node*>& masters() const noexcept { return masters_; }

    /// A short text whose slot this node keeps, to make keys of; nothing if it keeps none.
    std::optional<std::string> tag(const Node& node) const {
        if (const auto known = tags_.find(&node); known != tags_.end() && owner(slot_of(known->second)) == &node)
            return known->second;
        constexpr unsigned most = 200'000;  // a single slot among them all is missed once in 200,000 times
        for (unsigned number = 0; number < most && !masters_.empty(); ++number) {
            std::string text = std::to_string(number);
            if (owner(slot_of(text)) == &node) return tags_[&node] = std::move(text);
        }
        return std::nullopt;
    }

private:
    std::vector<Node*> owners_;  // of each slot; empty before anything is known
    std::set<Node*> masters_;    // of `owners_`
    mutable std::map<const Node*, std::string> tags_;
};

}  // namespace breakwater::redis
