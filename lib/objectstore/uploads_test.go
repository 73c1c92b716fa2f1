package objectstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"vapo/lib/objectstore/objectstoretest"
)

// TestUploads: an upload whose writer was killed is found and aborted, but only if it began before the given time.
func TestUploads(t *testing.T) {
	env := objectstoretest.EmbeddedEnv(t)
	s := objectstoretest.Open(t, env)
	core, err := minio.NewCore(strings.TrimPrefix(env.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(env.AccessKey, env.SecretKey, ""), Region: env.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(env.Store, "s3://"), "/")
	for _, key := range []string{"a", "b/c"} {
		if _, err := core.NewMultipartUpload(t.Context(), bucket, prefix+"/"+key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	count := func(before time.Time, abort bool) (keys string) {
		for key, err := range s.Uploads(t.Context(), before, abort) {
			if err != nil {
				t.Fatal(err)
			}
			keys += key + " "
		}
		return keys
	}
	later := time.Now().Add(time.Hour)
	for i, c := range []struct {
		before time.Time
		abort  bool
		want   string
	}{
		{time.Now().Add(-time.Hour), true, ""}, {later, false, "a b/c "}, {later, true, "a b/c "}, {later, true, ""},
	} {
		if got := count(c.before, c.abort); got != c.want {
			t.Errorf("listing %d: %q, want %q", i, got, c.want)
		}
	}
}
