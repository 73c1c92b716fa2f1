package objectstore

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Config gives the location of a store and the credentials for it.
type Config struct {
	Endpoint     string // URL, for example https://s3.example.org; empty for AWS
	Region       string
	AccessKey    string
	SecretKey    string
	SessionToken string // only for temporary credentials
	Bucket       string
	Prefix       string // prepended to every key, without a leading or trailing slash; may be empty
	CABundle     string // PEM file with the certificate authorities to trust; empty for those of the system

	keysFrom string // the profile with the keys, for messages; empty if they come from the environment

	// Gateway is empty or has the form host:port/directory: the directory of an embedded store, and the address that its
	// gateway had when these settings were made. If Endpoint has that address, every connection goes to the gateway that
	// currently serves the directory, even if its port has changed. Otherwise Gateway is ignored.
	Gateway string

	// Patience is how long an operation waits for a store that is unavailable. A store is unavailable if it refuses or
	// breaks connections, is overloaded, or cannot be looked up because the name server fails. 0 means a few short
	// attempts.
	Patience time.Duration
	// WaitAtOpen makes Open, too, wait for a store that is unavailable.
	WaitAtOpen bool
	// Notify, if not nil, receives a message for the user when an operation begins to wait for the store, and another
	// when the store answers again. Several goroutines may call it at once.
	Notify func(text string)

	// StallTimeout limits how long the transfer of a body may make no progress; 0 means 30 seconds. The wait for a
	// response may take six times as long.
	StallTimeout time.Duration
}

// FromEnv reads the usual variables: AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_S3), AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION), AWS_CA_BUNDLE,
// VAPO_STORE=s3://bucket/prefix and VAPO_STORE_PATIENCE. Settings that the variables lack come from a profile in the
// AWS CLI's configuration files. FromEnv sends no network requests. VAPO_GATEWAY becomes Config.Gateway. getenv is
// usually os.Getenv.
//
// If a variable is missing or malformed, FromEnv fails with ErrConfig and names the variable. The error does not quote
// the value, which might contain a password.
func FromEnv(getenv func(string) string) (Config, error) {
	untrimmed := getenv
	getenv = func(name string) string { return strings.TrimSpace(untrimmed(name)) } // pasting adds blanks
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	cfg := Config{
		Endpoint:     first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		Region:       first("AWS_REGION", "AWS_DEFAULT_REGION"),
		AccessKey:    getenv("AWS_ACCESS_KEY_ID"),
		SecretKey:    getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: getenv("AWS_SESSION_TOKEN"),
		CABundle:     getenv("AWS_CA_BUNDLE"),
		Gateway:      getenv("VAPO_GATEWAY"),
	}
	var err error
	if cfg.Bucket, cfg.Prefix, err = ParseURL(getenv("VAPO_STORE")); err != nil {
		return Config{}, fmt.Errorf("VAPO_STORE: %w", err)
	}
	if cfg.Patience, err = PatienceFromEnv(getenv); err != nil {
		return Config{}, err
	}
	if err := cfg.fromProfile(getenv); err != nil {
		return Config{}, err
	}
	return cfg, cfg.validate()
}

// PatienceFromEnv reads Config.Patience from VAPO_STORE_PATIENCE. The default is 2 minutes.
func PatienceFromEnv(getenv func(string) string) (time.Duration, error) {
	text := getenv("VAPO_STORE_PATIENCE")
	if text == "" {
		return 2 * time.Minute, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, configError("set it to a duration, for example 90s, 10m or 0", "VAPO_STORE_PATIENCE is not a duration")
	}
	return d, nil
}

// ParseURL splits s3://bucket/prefix into bucket and prefix. It fails with ErrConfig if s has another form. The error
// does not quote s, which might contain a password.
func ParseURL(s string) (bucket, prefix string, err error) {
	const hint = "for example VAPO_STORE=s3://bucket/prefix; the server's address belongs in AWS_ENDPOINT_URL"
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return "", "", configError(hint, "it does not start with s3://")
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
		return "", "", configError(hint, "the name after s3:// is not a valid bucket name: %w", err)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix != "" && checkKey(prefix) != nil {
		return "", "", configError(hint, "the prefix has a part that cannot be a file name")
	}
	return bucket, prefix, nil
}

func (c *Config) validate() error {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if strings.Trim(c.Region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return configError("set it to the bucket's region, for example us-east-1", "AWS_REGION is not the name of a region")
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://s3." + c.Region + ".amazonaws.com"
	}
	if _, err := c.endpoint(); err != nil {
		return err
	}
	const both = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	switch {
	case c.AccessKey == "" && c.SecretKey == "":
		return configError(both+", or set AWS_PROFILE to a profile that has keys", "there are no access keys for %s", c)
	case c.AccessKey == "":
		return configError(both, "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not")
	case c.SecretKey == "":
		return configError(both, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")
	}
	return nil
}

// embedded returns the directory of an embedded store if c.Gateway says that endpoint belongs to its gateway.
func (c *Config) embedded(endpoint *url.URL) (dir string, ok bool) {
	dir, ok = strings.CutPrefix(c.Gateway, endpoint.Host+"/")
	return "/" + dir, ok
}

// endpoint parses the URL of the server. Its errors do not quote the URL, which might contain a password.
func (c *Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isPort(u.Port()) ||
		u.RawQuery != "" || u.Fragment != "":
		return nil, errEndpoint
	case u.User != nil:
		return nil, configError("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
			"AWS_ENDPOINT_URL contains credentials")
	case strings.Trim(u.Path, "/") != "":
		return nil, configError("the bucket and a prefix belong in VAPO_STORE=s3://bucket/prefix",
			"AWS_ENDPOINT_URL has a path after the server's name")
	}
	return u, nil
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil
}

var errEndpoint = configError("set it, for example, to http://localhost:9000 or https://s3.example.org",
	"AWS_ENDPOINT_URL is not the address of a server")

// String names the store without secrets.
func (c *Config) String() string {
	s := "s3://" + c.Bucket
	if c.Prefix != "" {
		s += "/" + c.Prefix
	}
	if u, err := c.endpoint(); err == nil {
		s += " at " + u.Scheme + "://" + u.Host
	}
	return s
}
