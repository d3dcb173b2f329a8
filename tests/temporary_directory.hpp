#pragma once

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace breakwater::test {

/// A directory that is gone at the end, with all that is in it.
class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "breakwater-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"TemporaryDirectory: cannot be made"};
        path_ = name;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::filesystem::path& path() const noexcept { return path_; }
    std::string name() const { return path_.filename().string(); }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

    std::string read(std::string_view name) const {
        std::ifstream in{path_ / name, std::ios::binary};
        return {std::istreambuf_iterator<char>{in}, {}};
    }
    void write(std::string_view name, std::string_view content) const { std::ofstream{path_ / name} << content; }
    /// Of the files in it, sorted.
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : std::filesystem::directory_iterator{path_}) all.push_back(entry.path().filename());
        std::ranges::sort(all);
        return all;
    }

private:
    std::filesystem::path path_;
};

}  // namespace breakwater::test
