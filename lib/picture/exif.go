package picture

import (
	"bytes"
	"encoding/binary"
)

// exif returns the Exif data of a PNG or WebP file from its TIFF header on, or nil if there is none.
func exif(f Format, data []byte) []byte {
	switch f {
	case PNG:
		for at := 8; at+12 <= len(data); {
			n := int(binary.BigEndian.Uint32(data[at:]))
			if n > len(data)-at-12 {
				break
			}
			if string(data[at+4:][:4]) == "eXIf" {
				return data[at+8:][:n]
			}
			at += 12 + n
		}
	case WebP:
		for id, chunk := range chunks(data[min(12, len(data)):]) {
			if id == "EXIF" {
				return bytes.TrimPrefix(chunk, []byte("Exif\x00\x00")) // some programs copy this prefix from a JPEG
			}
		}
	}
	return nil
}

// orientationTag is the tag of the orientation in Exif data.
const orientationTag = 0x0112

// orientation returns the orientation in Exif data, or 1 if there is no valid one.
func orientation(exif []byte) int {
	if len(exif) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(exif[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	first := uint64(order.Uint32(exif[4:])) // offset of the first directory
	if first+2 > uint64(len(exif)) {
		return 1
	}
	entries := exif[first+2:]
	for range order.Uint16(exif[first:]) {
		if len(entries) < 12 {
			break
		}
		if order.Uint16(entries) == orientationTag {
			value := 1
			switch order.Uint16(entries[2:]) { // the type of the value
			case 1:
				value = int(entries[8])
			case 3:
				value = int(order.Uint16(entries[8:]))
			case 4:
				value = int(order.Uint32(entries[8:]))
			}
			if value >= 1 && value <= 8 {
				return value
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// Upright turns an image with the given orientation upright, as Pillow's ImageOps.exif_transpose does.
func (im *Image) Upright(orientation int) *Image {
	if orientation < 2 || orientation > 8 {
		return im
	}
	swap := orientation >= 5 // rows become columns
	flipRows := orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7
	flipColumns := orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8
	out := &Image{C: im.C, H: im.H, W: im.W, Pixels: make([]uint8, len(im.Pixels))}
	if swap {
		out.H, out.W = im.W, im.H
	}
	p := 0
	for ch := range im.C {
		src := im.Pixels[ch*im.H*im.W:][:im.H*im.W]
		for y := range out.H {
			for x := range out.W {
				r, c := y, x // the source of the pixel
				if swap {
					r, c = x, y
				}
				if flipRows {
					r = im.H - 1 - r
				}
				if flipColumns {
					c = im.W - 1 - c
				}
				out.Pixels[p] = src[r*im.W+c]
				p++
			}
		}
	}
	return out
}
