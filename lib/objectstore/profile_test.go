package objectstore_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// TestProfiles compares keys, region and endpoint with those that botocore, the library of the AWS CLI, takes from the
// same environment and files (testdata/profiles.py).
func TestProfiles(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "profiles.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Credentials, Config string
		Cases               map[string]struct {
			Env  map[string]string
			Want struct {
				Error                                   bool
				Access, Secret, Token, Region, Endpoint string
			}
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, place := range []string{"", ".aws"} {
		write(t, filepath.Join(dir, place, "credentials"), golden.Credentials)
		write(t, filepath.Join(dir, place, "config"), golden.Config)
	}
	for name, c := range golden.Cases {
		cfg, err := objectstore.FromEnv(func(variable string) string {
			if variable == "VAPO_STORE" {
				return "s3://bucket"
			}
			return strings.ReplaceAll(c.Env[variable], "DIR", dir)
		})
		if c.Want.Error {
			if !errors.Is(err, objectstore.ErrConfig) || failure.HintOf(err) == "" {
				t.Errorf("%s: error %v, hint %q, want ErrConfig and a hint", name, err, failure.HintOf(err))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Want.Region == "" {
			c.Want.Region = "us-east-1"
		}
		if c.Want.Endpoint == "" {
			c.Want.Endpoint = "https://s3." + c.Want.Region + ".amazonaws.com"
		}
		got := c.Want
		got.Access, got.Secret, got.Token = cfg.AccessKey, cfg.SecretKey, cfg.SessionToken
		got.Region, got.Endpoint = cfg.Region, cfg.Endpoint
		if got != c.Want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.Want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProfileMistakes: if a profile cannot be used, the error says why, has a hint, and contains no secret.
func TestProfileMistakes(t *testing.T) {
	for _, c := range []struct{ name, credentials, says, hint string }{
		{"missing", "[other]\naws_access_key_id = AK\n", `no profile "work"`, "AWS_PROFILE"},
		{"single sign-on", "[work]\nsso_start_url = https://x\nsso_region = r\nsso_account_id = 1\nsso_role_name = r\n",
			"no access keys", "export-credentials --profile work"},
		{"program", "[work]\ncredential_process = /bin/false\n", "no access keys", "export-credentials --profile work"},
		{"half", "[work]\naws_access_key_id = AK\n", `profile "work" in `, "aws_secret_access_key"},
		{"role", "[work]\nrole_arn = arn:hush-hush\nsource_profile = nobody\n", "cannot be read", "aws_access_key_id"},
		{"empty", "[work]\n", "no access keys", "AWS_PROFILE"},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		write(t, path, c.credentials)
		env := map[string]string{"VAPO_STORE": "s3://bucket", "AWS_SHARED_CREDENTIALS_FILE": path, "AWS_PROFILE": "work"}
		_, err := objectstore.FromEnv(func(variable string) string { return env[variable] })
		if !errors.Is(err, objectstore.ErrConfig) || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(failure.HintOf(err), c.hint) || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: error %v, hint %q, want ErrConfig with %q, the hint %q and no secret",
				c.name, err, failure.HintOf(err), c.says, c.hint)
		}
	}
}
