package blemish

// Evaluation is how well a model tells the pictures of a labelled set apart. Every figure is computed on raw scores;
// a nil figure could not be computed, and Notes says why.
type Evaluation struct {
	Images     int                         `json:"images"`
	Image      ImageMetrics                `json:"image"`
	Pixel      PixelMetrics                `json:"pixel"`
	ByDefect   map[string]DefectEvaluation `json:"by_defect"`
	Threshold  *float64                    `json:"threshold"` // nil where the model is uncalibrated
	Counts     Counts                      `json:"counts"`    // at Threshold; without one every picture counts as good
	MsPerImage float64                     `json:"ms_per_image"`
	Class      *ClassEvaluation            `json:"class,omitempty"` // of a classifier
	Notes      []string                    `json:"notes,omitempty"`

	Pictures []ScoredPicture `json:"-"` // in the set's order
}

// ImageMetrics judge pictures as wholes.
type ImageMetrics struct {
	AUROC            *float64 `json:"auroc"`
	AP               *float64 `json:"ap"`
	F1Max            *float64 `json:"f1max"`
	Accuracy         *float64 `json:"accuracy"`          // at the stored threshold
	BalancedAccuracy *float64 `json:"balanced_accuracy"` // likewise
}

// ClassEvaluation judges a classifier's most probable classes.
type ClassEvaluation struct {
	Classes          []string `json:"classes"`
	Confusion        [][]int  `json:"confusion"` // a row for the truth, a column for the verdict
	Accuracy         float64  `json:"accuracy"`
	BalancedAccuracy float64  `json:"balanced_accuracy"` // mean of the classes' own
}

// PixelMetrics judge anomaly maps against masks, pixel by pixel at the pictures' own size.
type PixelMetrics struct {
	AUROC   *float64 `json:"auroc"`
	AP      *float64 `json:"ap"`
	F1Max   *float64 `json:"f1max"`
	AUPRO   *float64 `json:"aupro"`    // integrated up to a false-positive rate of 0.3
	AUPRO05 *float64 `json:"aupro_05"` // and of 0.05
}

// DefectEvaluation is an evaluation of one kind of defect against all good pictures.
type DefectEvaluation struct {
	Images int          `json:"images"`
	Image  ImageMetrics `json:"image"`
	Pixel  PixelMetrics `json:"pixel"`
}

// Counts is the confusion matrix of pictures; an anomalous picture is a positive.
type Counts struct {
	TP int `json:"tp"`
	FP int `json:"fp"`
	TN int `json:"tn"`
	FN int `json:"fn"`
}

// ScoredPicture is one picture of an evaluated set.
type ScoredPicture struct {
	Path      string
	Kind      string // "good" or the defect's name
	Defective bool   // the truth
	Score     float64
	PValue    float64 // share of good pictures expected to score at least this much; NaN where uncalibrated
	Anomalous bool    // the verdict at the stored threshold
	Class     string  // a classifier's verdict; "" for other methods
}
