package padim

import (
	"context"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
)

func TestTheGridIsTheFirstTapsMapOfTheMedianPicture(t *testing.T) {
	for _, c := range []struct {
		sizes detecttest.GivenSizes
		want  []int // height and width; Given rounds sizes down, as VGG's pooling does
	}{
		{detecttest.GivenSizes{{26, 35}, {26, 35}}, []int{6, 8}},
		{detecttest.GivenSizes{{16, 60}, {26, 35}, {40, 20}}, []int{6, 8}},
		{detecttest.GivenSizes{{16, 20}, {40, 20}, {24, 20}, {20, 20}}, []int{6, 5}}, // the upper one of two medians
	} {
		e := detecttest.Given{{Name: "only", Channels: 3, Stride: 4}}
		d, err := DefaultConfig().Fit(context.Background(), c.sizes, &detect.FitOptions{Extractor: e})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Tensors[meanName].Shape[:2]; !slices.Equal(got, c.want) {
			t.Errorf("pictures of %v: a grid of %v, want %v", c.sizes, got, c.want)
		}
	}
}
