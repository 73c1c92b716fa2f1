package objectstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

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
		t.Errorf("config is %s, region %s, want s3://bucket/team/vapo at http://localhost:9000, region us-east-1",
			&cfg, cfg.Region)
	}
	aws, err := objectstore.FromEnv(with("AWS_ENDPOINT_URL", ""))
	if err != nil || !strings.Contains(aws.String(), "https://s3.us-east-1.amazonaws.com") {
		t.Errorf("without an endpoint: config %s, error %v, want https://s3.us-east-1.amazonaws.com", &aws, err)
	}
	for name, value := range good {
		if padded, err := objectstore.FromEnv(with(name, " "+value+"\r\n")); err != nil || padded.String() != cfg.String() ||
			padded.AccessKey != cfg.AccessKey || padded.SecretKey != cfg.SecretKey {
			t.Errorf("%s with blanks around it: config %s, error %v, want %s with the same keys", name, &padded, err, &cfg)
		}
	}
	for text, want := range map[string]time.Duration{"": 2 * time.Minute, "0": 0, "90s": 90 * time.Second} {
		if cfg, err = objectstore.FromEnv(with("VAPO_STORE_PATIENCE", text)); err != nil || cfg.Patience != want {
			t.Errorf("VAPO_STORE_PATIENCE=%s: %v, error %v, want %v", text, cfg.Patience, err, want)
		}
	}
	for _, c := range [][2]string{
		{"VAPO_STORE", ""}, {"VAPO_STORE", "bucket"}, {"VAPO_STORE", "s3://"}, {"VAPO_STORE", "s3://UPPER"},
		{"VAPO_STORE", "s3://bucket/../x"}, {"VAPO_STORE", "s3://bucket//x"},
		{"VAPO_STORE", "s3://user:hush-hush@host/bucket"}, {"VAPO_STORE", "s3://hush-hush@bucket"},
		{"VAPO_STORE", "https://user:hush-hush@host/bucket"}, {"VAPO_STORE", "hush-hush"},
		{"VAPO_STORE", "s3://bucket//user:hush-hush@host"}, {"VAPO_STORE", "s3://bucket/../hush-hush"},
		{"VAPO_STORE_PATIENCE", "hush-hush"}, {"VAPO_STORE_PATIENCE", "5"}, {"VAPO_STORE_PATIENCE", "-5s"},
		{"AWS_ACCESS_KEY_ID", ""}, {"AWS_SECRET_ACCESS_KEY", ""},
		{"AWS_ENDPOINT_URL", "localhost:9000"}, {"AWS_ENDPOINT_URL", "ftp://x"}, {"AWS_ENDPOINT_URL", "http://"},
		{"AWS_ENDPOINT_URL", "http://user:hush-hush@host"}, {"AWS_ENDPOINT_URL", "http://host/path"},
		{"AWS_ENDPOINT_URL", "http://host:hush-hush"}, {"AWS_ENDPOINT_URL", "http://host/hush-hush"},
		{"AWS_ENDPOINT_URL", "user:hush-hush@host"}, {"AWS_ENDPOINT_URL", "http://host?secret=hush-hush"},
		{"AWS_ENDPOINT_URL", "http://user:hush-hush@ho st"}, {"AWS_ENDPOINT_URL", "http://%hush-hush@host"},
		{"AWS_ENDPOINT_URL", "http://hush-hush_"}, {"AWS_ENDPOINT_URL", "http://host:99999"},
		{"AWS_ENDPOINT_URL", "http://host#part"}, {"AWS_ENDPOINT_URL", "http://:9000"}, {"AWS_REGION", "http://host"},
	} {
		cfg, err := objectstore.FromEnv(with(c[0], c[1]))
		if err == nil {
			_, err = objectstore.Open(t.Context(), cfg)
		}
		if !errors.Is(err, objectstore.ErrConfig) || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%s=%q: error %v, want ErrConfig and the variable's name", c[0], c[1], err)
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
				t.Fatalf("error %v does not match ErrConfig", err)
			}
			return
		}
		again := "s3://" + bucket
		if prefix != "" {
			again += "/" + prefix
		}
		if b, p, err := objectstore.ParseURL(again); b != bucket || p != prefix || err != nil {
			t.Fatalf("%q has bucket %q and prefix %q, but %q has %q and %q, error %v", s, bucket, prefix, again, b, p, err)
		}
	})
}
