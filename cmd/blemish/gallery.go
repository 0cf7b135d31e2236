package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/report"
)

// perGallery pictures are shown of each group: enough to judge by, few enough to load.
const perGallery = 6

// galleries draws the pictures of an evaluation that are most worth a look.
func galleries(ctx context.Context, model *blemish.Model, source blemish.Source, e *blemish.Evaluation) ([]report.Gallery, error) {
	index := make(map[string]int, len(e.Pictures))
	for i, p := range e.Pictures {
		index[p.Path] = i
	}
	chosen := report.Choose(e, perGallery)
	scale := displayScale(model)
	for _, g := range chosen {
		for _, card := range g.Cards {
			picture, err := source.Picture(ctx, index[card.Scored.Path])
			if err != nil {
				return nil, err
			}
			r, err := model.Score(ctx, picture.Image, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", picture.Path, err)
			}
			if err := card.Draw(picture.Image, r.Map, picture.Mask, scale); err != nil {
				return nil, fmt.Errorf("%s: %w", picture.Path, err)
			}
		}
	}
	return chosen, nil
}

// displayScale shows maps in colours from half the pixel threshold on. It is for the eye alone.
func displayScale(model *blemish.Model) report.Scale {
	if t := model.Info().Calibration.Pixel; t != nil {
		return report.NewScale(t.Value/2, t.Value)
	}
	return report.Scale{Low: 0, High: 1}
}

func provenance(info blemish.Info) [][2]string {
	rows := [][2]string{
		{"method", info.Method + " " + settings(info.Options)},
		{"backbone", backboneText(info.Backbone)},
		{"pictures learned from", fmt.Sprint(info.Provenance.Pictures - len(info.Provenance.Suspects))},
		{"seed", fmt.Sprint(info.Provenance.Seed)},
		{"blemish", info.Provenance.Blemish + ", " + info.Provenance.InstructionSet},
	}
	if t := info.Calibration.Image; t != nil {
		rows = append(rows, [2]string{"threshold", t.String()})
	}
	for _, s := range info.Provenance.Suspects {
		rows = append(rows, [2]string{"left out: " + s.Path, s.Reason})
	}
	return rows
}

// settings are a method's options. A classifier's, which are many, are written as words, without what is not set and the history of its
// training, which is drawn.
func settings(options json.RawMessage) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(options, &all); err != nil || all["history"] == nil {
		return string(options)
	}
	delete(all, "history")
	var words []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := string(all[name])
		if unquoted := ""; json.Unmarshal(all[name], &unquoted) == nil {
			value = unquoted
		}
		if value != "" {
			words = append(words, strings.ReplaceAll(name, "_", " ")+" "+value)
		}
	}
	return strings.Join(words, ", ")
}

func backboneText(b blemish.BackboneInfo) string {
	if b.Name == blemish.NoBackbone {
		return b.Name
	}
	return b.Name + ", layers " + strings.Join(b.Layers, ", ")
}
