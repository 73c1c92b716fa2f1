package objectstoretest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// MinIOEnv is like EmbeddedEnv for a MinIO server. The binary is $VAPO_MINIO or minio in PATH; the test is skipped if
// neither exists.
func MinIOEnv(t testing.TB) embedded.Env {
	t.Helper()
	exe := findMinIO(t)
	servers.Lock()
	defer servers.Unlock()
	if servers.second == nil {
		env := newEnv(t, "http", "us-east-1")
		startMinIO(t, exe, "minio", env, config(t, env))
		servers.second = &env
	}
	return ownPrefix(*servers.second)
}

// MinIO returns an empty store for this test, served by MinIO. See MinIOEnv.
func MinIO(t testing.TB) objectstore.Store {
	t.Helper()
	return Open(t, MinIOEnv(t))
}

// MinIOTLS returns the settings of a MinIO server that speaks TLS and is in the region eu-west-1. Its certificate is
// for 127.0.0.1 and self-signed. All tests of a package share its bucket.
func MinIOTLS(t testing.TB) objectstore.Config {
	t.Helper()
	exe := findMinIO(t)
	servers.Lock()
	defer servers.Unlock()
	if servers.secure == nil {
		env := newEnv(t, "https", "eu-west-1")
		cfg := config(t, env)
		certs := filepath.Join(serverDir(t), "certs")
		cfg.CABundle = filepath.Join(certs, "public.crt")
		writeCertificate(t, certs)
		startMinIO(t, exe, "minio-tls", env, cfg, "--certs-dir", certs)
		servers.secure = &cfg
	}
	return *servers.secure
}

func findMinIO(t testing.TB) string {
	t.Helper()
	if exe := os.Getenv("VAPO_MINIO"); exe != "" {
		return exe
	}
	exe, err := exec.LookPath("minio")
	if err != nil {
		t.Skip("no MinIO server: set VAPO_MINIO to its binary, or put minio into PATH")
	}
	return exe
}

// newEnv returns settings for a server that is about to be started, with a free port.
func newEnv(t testing.TB, scheme, region string) embedded.Env {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return embedded.Env{
		Endpoint: scheme + "://" + free.Addr().String(), AccessKey: rand.Text(), SecretKey: rand.Text(), Region: region,
		Store: "s3://vapo",
	}
}

func config(t testing.TB, env embedded.Env) objectstore.Config {
	t.Helper()
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// startMinIO starts a server and waits until the bucket exists.
func startMinIO(t testing.TB, exe, name string, env embedded.Env, cfg objectstore.Config, flags ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(serverDir(t), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, addr, _ := strings.Cut(env.Endpoint, "://")
	args := append([]string{"server", "--address", addr, "--console-address", "127.0.0.1:0"}, flags...)
	cmd := exec.Command(exe, append(args, filepath.Join(serverDir(t), name))...)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+env.AccessKey, "MINIO_ROOT_PASSWORD="+env.SecretKey,
		"MINIO_SITE_REGION="+env.Region, "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	servers.minio = append(servers.minio, cmd)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := objectstore.CreateBucket(ctx, cfg)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			t.Fatal(fmt.Errorf("start %s: %w\n%s", exe, err, text))
		}
	}
}

// writeCertificate writes a certificate for 127.0.0.1 and its key as MinIO expects them.
func writeCertificate(t testing.TB, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"public.crt": {Type: "CERTIFICATE", Bytes: public}, "private.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
