#include "base/sha256.h"

#include <stdlib.h>

#include "tests/test.h"

/* FIPS 180-4's examples: one block, two blocks, and many; and nothing at all. */
TEST(digests_are_those_of_the_standard)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char hex[65];
        uint8_t raw[32];
        sha256_hex(slice_of(cases[i].text), hex);
        assert_string_equal(hex, cases[i].want);
        sha256(slice_of(cases[i].text), raw);
        char first[3] = { cases[i].want[0], cases[i].want[1] };
        assert_int_equal(raw[0], strtoul(first, NULL, 16));
    }
}

TEST(a_million_bytes_have_the_standards_digest)
{
    char *a = xzalloc(1000000), hex[65];
    memset(a, 'a', 1000000);
    sha256_hex(slice_from(a, 1000000), hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(a);
}

TEST(a_nul_byte_counts)
{
    char with[65], without[65];
    sha256_hex(slice_from("a\0", 2), with);
    sha256_hex(slice_from("a", 1), without);
    assert_string_not_equal(with, without);
}
