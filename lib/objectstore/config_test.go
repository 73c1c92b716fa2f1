package objectstore_test

import (
	"errors"
	"strings"
	"testing"

	"vapo/lib/objectstore"
)

func TestFromEnv(t *testing.T) {
	good := map[string]string{
		"AWS_ENDPOINT_URL": "http://localhost:9000", "VAPO_STORE": "s3://bucket/team/vapo/",
		"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "hush-hush",
	}
	with := func(name, value string) func(string) string {
		return func(variable string) string {
			if variable == name {
				return value
			}
			return good[variable]
		}
	}
	cfg, err := objectstore.FromEnv(with("", ""))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.String() != "s3://bucket/team/vapo at http://localhost:9000" || cfg.Region != "us-east-1" {
		t.Errorf("config is %s, region %s", &cfg, cfg.Region)
	}
	cfg, err = objectstore.FromEnv(with("AWS_ENDPOINT_URL", ""))
	if err != nil || !strings.Contains(cfg.String(), "https://s3.us-east-1.amazonaws.com") {
		t.Errorf("without an endpoint: %s, %v", &cfg, err)
	}
	for _, c := range [][2]string{
		{"VAPO_STORE", ""}, {"VAPO_STORE", "bucket"}, {"VAPO_STORE", "s3://"}, {"VAPO_STORE", "s3://UPPER"},
		{"VAPO_STORE", "s3://bucket/../x"}, {"VAPO_STORE", "s3://bucket//x"},
		{"AWS_ACCESS_KEY_ID", ""}, {"AWS_SECRET_ACCESS_KEY", ""},
		{"AWS_ENDPOINT_URL", "localhost:9000"}, {"AWS_ENDPOINT_URL", "ftp://x"}, {"AWS_ENDPOINT_URL", "http://"},
		{"AWS_ENDPOINT_URL", "http://user:hush-hush@host"}, {"AWS_ENDPOINT_URL", "http://host/path"},
	} {
		_, err := objectstore.FromEnv(with(c[0], c[1]))
		if !errors.Is(err, objectstore.ErrConfig) || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%s=%q: error %v", c[0], c[1], err)
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("error %q contains a secret", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"s3://bucket/prefix", "s3://b", "s3://bucket/", "s3:///x", "http://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bucket, prefix, err := objectstore.ParseURL(s)
		if err != nil {
			if !errors.Is(err, objectstore.ErrConfig) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again := "s3://" + bucket
		if prefix != "" {
			again += "/" + prefix
		}
		if b, p, err := objectstore.ParseURL(again); b != bucket || p != prefix || err != nil {
			t.Fatalf("%q gives %q %q, then %q %q, %v", s, bucket, prefix, b, p, err)
		}
	})
}
