#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <temporary_directory.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

namespace breakwater::test {

struct FreeOpenSsl {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeOpenSsl>;
using Certificate = std::unique_ptr<X509, FreeOpenSsl>;
using TlsContext = std::unique_ptr<SSL_CTX, FreeOpenSsl>;

/// A certificate authority made for one test run, with a name of its own, which signs what it is asked to.
class CertificateAuthority {
public:
    CertificateAuthority()
        : key_{EVP_EC_gen("P-256")},
          certificate_{blank("breakwater test authority " + directory_.name(), key_.get(), 1)} {
        X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
        extend(NID_basic_constraints, "critical,CA:TRUE", certificate_.get());
        X509_sign(certificate_.get(), key_.get(), EVP_sha256());
        write(file(), [&](std::FILE* out) { return PEM_write_X509(out, certificate_.get()); });
    }

    /// What a client has to trust.
    std::string file() const { return (directory_ / "authority.pem").string(); }

    /// A server's TLS set-up with a certificate for these names, for example "IP:127.0.0.1" or "DNS:other.test". It
    /// ends `days` from now.
    TlsContext serve(const std::string& names, int days = 1) const {
        const Key key{EVP_EC_gen("P-256")};
        const Certificate certificate = issue(key.get(), names, days);
        TlsContext context{SSL_CTX_new(TLS_server_method())};
        SSL_CTX_use_certificate(context.get(), certificate.get());
        SSL_CTX_use_PrivateKey(context.get(), key.get());
        return context;
    }

    /// The same as files for a server program.
    struct Files {
        std::string key;
        std::string certificate;
    };
    Files write_files(const std::string& names, const std::string& stem = "server",
                      const std::string& password = {}) const {
        const Key key{EVP_EC_gen("P-256")};
        const Certificate certificate = issue(key.get(), names, 1);
        Files files{(directory_ / (stem + ".key")).string(), (directory_ / (stem + ".pem")).string()};
        write(files.key, [&](std::FILE* out) {
            std::string secret = password;  // OpenSSL wants it to be changeable
            return PEM_write_PrivateKey(out, key.get(), password.empty() ? nullptr : EVP_aes_256_cbc(), nullptr, 0,
                                        nullptr, password.empty() ? nullptr : secret.data());
        });
        write(files.certificate, [&](std::FILE* out) { return PEM_write_X509(out, certificate.get()); });
        return files;
    }

private:
    Certificate issue(EVP_PKEY* key, const std::string& names, int days) const {
        Certificate certificate = blank("server", key, days);
        X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
        extend(NID_subject_alt_name, names, certificate_.get(), certificate.get());
        X509_sign(certificate.get(), key_.get(), EVP_sha256());
        return certificate;
    }

    static Certificate blank(const std::string& name, EVP_PKEY* key, int days) {
        static long serial = 0;
        Certificate certificate{X509_new()};
        X509_set_version(certificate.get(), 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -10L * 86'400);
        X509_gmtime_adj(X509_getm_notAfter(certificate.get()), days * 86'400L);
        X509_set_pubkey(certificate.get(), key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
        return certificate;
    }

    static void extend(int kind, const std::string& value, X509* issuer, X509* subject = nullptr) {
        if (subject == nullptr) subject = issuer;
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer, subject, nullptr, nullptr, 0);
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
        if (extension == nullptr) throw std::runtime_error{"CertificateAuthority: bad extension " + value};
        X509_add_ext(subject, extension, -1);
        X509_EXTENSION_free(extension);
    }

    template <class Write>
    static void write(const std::string& path, Write&& content) {
        std::FILE* out = std::fopen(path.c_str(), "w");
        if (out == nullptr || content(out) != 1) throw std::runtime_error{"CertificateAuthority: cannot write"};
        std::fclose(out);
    }

    TemporaryDirectory directory_;
    Key key_;
    Certificate certificate_;
};

}  // namespace breakwater::test
