package imageio

import (
	"bytes"
	"encoding/binary"
)

// orientation returns the EXIF orientation of a picture file, 1 to 8; 1 (upright) where there is none or it is damaged:
// a bad tag never costs the picture. (CIPA DC-008, Exif 2.32, 4.6.4 A; tag 0x0112)
func orientation(format string, data []byte) int {
	switch format {
	case "JPEG":
		return tiffOrientation(jpegExif(data))
	case "PNG":
		return tiffOrientation(chunk(data, 8, binary.BigEndian, "eXIf", 12))
	case "WebP":
		return tiffOrientation(bytes.TrimPrefix(webpExif(data), []byte("Exif\x00\x00")))
	case "TIFF":
		return tiffOrientation(data)
	}
	return 1
}

// jpegExif finds the TIFF block of the APP1 segment.
func jpegExif(data []byte) []byte {
	for i := 2; i+4 <= len(data) && data[i] == 0xff; {
		marker, n := data[i+1], int(binary.BigEndian.Uint16(data[i+2:]))
		if marker == 0xda || n < 2 || i+2+n > len(data) { // start of scan: no more headers
			return nil
		}
		if body := data[i+4 : i+2+n]; marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body[6:]
		}
		i += 2 + n
	}
	return nil
}

// chunk finds a PNG chunk: length, name, body, checksum.
func chunk(data []byte, start int, order binary.ByteOrder, name string, overhead int) []byte {
	for i := start; i+overhead <= len(data); {
		n := int64(order.Uint32(data[i:]))
		if n > int64(len(data)-i-overhead) {
			return nil
		}
		if string(data[i+4:i+8]) == name {
			return data[i+8 : i+8+int(n)]
		}
		i += overhead + int(n)
	}
	return nil
}

// webpExif finds the RIFF chunk EXIF: name, length, body padded to an even length.
func webpExif(data []byte) []byte {
	for i := 12; i+8 <= len(data); {
		n := int64(binary.LittleEndian.Uint32(data[i+4:]))
		if n > int64(len(data)-i-8) {
			return nil
		}
		if string(data[i:i+4]) == "EXIF" {
			return data[i+8 : i+8+int(n)]
		}
		i += 8 + int(n+n%2)
	}
	return nil
}

// tiffOrientation reads tag 0x0112 of the first directory of a TIFF block.
func tiffOrientation(data []byte) int {
	if len(data) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return 1
	}
	const entry = 12
	for i := range int64(order.Uint16(data[at:])) {
		e := at + 2 + i*entry
		if e+entry > int64(len(data)) {
			return 1
		}
		if order.Uint16(data[e:]) == 0x0112 {
			if v := int(order.Uint16(data[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// upright returns the picture with an EXIF orientation undone.
func (p *Picture) upright(orientation int) *Picture {
	if orientation == 1 {
		return p
	}
	w, h := p.Width, p.Height
	if orientation >= 5 { // these swap the sides
		w, h = h, w
	}
	out := New(w, h, p.Channels, p.Depth)
	for y := range h {
		for x := range w {
			sx, sy := x, y
			switch orientation {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8:
				sx, sy = h-1-y, x
			}
			to, from := (y*w+x)*p.Channels, (sy*p.Width+sx)*p.Channels
			if p.Depth == 8 {
				copy(out.Pix8[to:to+p.Channels], p.Pix8[from:])
			} else {
				copy(out.Pix16[to:to+p.Channels], p.Pix16[from:])
			}
		}
	}
	return out
}
