package tensorfile_test

import (
	"bytes"
	"fmt"

	"vapo/lib/tensorfile"
)

func ExampleWrite() {
	table := &tensorfile.Table{
		Rows: 2,
		Columns: []tensorfile.Column{
			{Name: "image", Shape: []int{1, 2, 2}, Data: []uint8{0, 50, 100, 150, 200, 250, 0, 50}},
			{Name: "label", Data: []int64{3, 7}},
		},
		Meta: map[string]string{"split": "train"},
	}
	var file bytes.Buffer
	if err := tensorfile.Write(&file, table); err != nil {
		fmt.Println(err)
		return
	}
	read, err := tensorfile.Decode(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := read.Column("image")
	if err != nil {
		fmt.Println(err)
		return
	}
	pixels, err := tensorfile.Values[uint8](image)
	fmt.Println(read.Rows, image.Shape, pixels, read.Meta["split"], err)
	// Output: 2 [1 2 2] [0 50 100 150 200 250 0 50] train <nil>
}
