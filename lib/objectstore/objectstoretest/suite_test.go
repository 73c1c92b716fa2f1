package objectstoretest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestEmbedded(t *testing.T) { Run(t, Embedded) }

func TestMinIO(t *testing.T) { Run(t, MinIO) }
