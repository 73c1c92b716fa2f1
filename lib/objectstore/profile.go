package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	// AWS's own parser is used because profiles inherit from several sections of two files.
	"github.com/aws/aws-sdk-go-v2/config"

	"vapo/lib/failure"
)

// configError returns an error that matches ErrConfig and has a hint.
func configError(hint, format string, args ...any) error {
	return failure.New(failure.Usage, hint, "%w: %w", ErrConfig, fmt.Errorf(format, args...))
}

// fromProfile adds settings that the environment lacks, as the AWS CLI does: from the profile AWS_PROFILE (or
// AWS_DEFAULT_PROFILE, or "default") in ~/.aws/credentials and ~/.aws/config, or in the files that
// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name. Keys in the environment take precedence over any profile.
func (c *Config) fromProfile(getenv func(string) string) error {
	haveKeys := c.AccessKey != "" || c.SecretKey != ""
	if haveKeys && c.Region != "" && c.Endpoint != "" {
		return nil
	}
	chosen := cmp.Or(getenv("AWS_PROFILE"), getenv("AWS_DEFAULT_PROFILE"))
	name := cmp.Or(chosen, "default")
	file := func(variable, usual string) string {
		if path := getenv(variable); path != "" || getenv("HOME") == "" {
			return path
		}
		return filepath.Join(getenv("HOME"), ".aws", usual)
	}
	keys, settings := file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")
	files := strings.Join(slices.DeleteFunc([]string{keys, settings}, func(f string) bool { return f == "" }), " and ")
	p, err := config.LoadSharedConfigProfile(context.Background(), name, func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles, o.ConfigFiles = []string{keys}, []string{settings}
	})
	var missing config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &missing) && missing.Profile == name && chosen == "":
		return nil
	case errors.As(err, &missing) && missing.Profile == name:
		return configError("correct AWS_PROFILE, or unset it", "there is no profile %q in %s", name, files)
	case err != nil: // the cause may quote a line with a secret
		return configError("give the profile aws_access_key_id and aws_secret_access_key in the form that the AWS CLI writes",
			"profile %q in %s cannot be read", name, files)
	}
	c.Region = cmp.Or(c.Region, p.Region)
	if c.Endpoint == "" {
		c.Endpoint, _, _ = p.GetServiceBaseEndpoint(context.Background(), "S3")
		c.Endpoint = cmp.Or(c.Endpoint, p.BaseEndpoint)
	}
	c.CABundle = cmp.Or(c.CABundle, p.CustomCABundle)
	if haveKeys {
		return nil
	}
	from := fmt.Sprintf("profile %q in %s", name, files)
	c.AccessKey, c.SecretKey, c.SessionToken = p.Credentials.AccessKeyID, p.Credentials.SecretAccessKey,
		p.Credentials.SessionToken
	switch {
	case c.AccessKey != "":
		c.keysFrom = from
	case p.CredentialProcess != "" || p.RoleARN != "" || p.SSOSessionName != "" || p.SSOStartURL != "":
		return configError(fmt.Sprintf(`run: eval "$(aws configure export-credentials --profile %s --format env)"`, name),
			"%s has no access keys; only the AWS CLI can obtain them", from)
	}
	return nil
}
