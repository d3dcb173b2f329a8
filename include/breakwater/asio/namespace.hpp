#pragma once

// Asio as `breakwater::asio_library`: standalone Asio where it is found, else Boost.Asio. Who has both and means the
// second defines BREAKWATER_BOOST_ASIO for the whole program.
//
// Breakwater's own names for it begin with "Asio" and stand in namespace breakwater: a namespace breakwater::asio would
// make `asio::io_context` ambiguous, or another thing, wherever somebody writes `using namespace breakwater`.

#if !defined(BREAKWATER_BOOST_ASIO) && __has_include(<asio/io_context.hpp>)
#include <asio/associated_allocator.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/bind_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#if __has_include(<asio/associated_cancellation_slot.hpp>)
#include <asio/associated_cancellation_slot.hpp>
#define BREAKWATER_ASIO_HAS_CANCELLATION
#endif
#ifdef ASIO_HAS_CO_AWAIT
#include <asio/awaitable.hpp>
#define BREAKWATER_ASIO_HAS_AWAITABLE
#endif
namespace breakwater {
namespace asio_library = ::asio;
using AsioErrorCode = ::asio::error_code;
}  // namespace breakwater
#else
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#if __has_include(<boost/asio/associated_cancellation_slot.hpp>)
#include <boost/asio/associated_cancellation_slot.hpp>
#define BREAKWATER_ASIO_HAS_CANCELLATION
#endif
#ifdef BOOST_ASIO_HAS_CO_AWAIT
#include <boost/asio/awaitable.hpp>
#define BREAKWATER_ASIO_HAS_AWAITABLE
#endif
namespace breakwater {
namespace asio_library = ::boost::asio;
using AsioErrorCode = ::boost::system::error_code;
}  // namespace breakwater
#endif
