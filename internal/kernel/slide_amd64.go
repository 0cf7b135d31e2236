//go:build amd64 && !noasm

package kernel

var slidesAVX512 = []tileFunc{
	{1, [2]func(*tileArgs){slideAVX512P1F1, slideAVX512P1F2}},
	{2, [2]func(*tileArgs){slideAVX512P2F1, slideAVX512P2F2}},
	{4, [2]func(*tileArgs){slideAVX512P4F1, slideAVX512P4F2}},
	{8, [2]func(*tileArgs){slideAVX512P8F1, slideAVX512P8F2}},
	{14, [2]func(*tileArgs){slideAVX512P14F1, slideAVX512P14F2}},
}

var slidesAVX2 = []tileFunc{
	{1, [2]func(*tileArgs){slideAVX2P1F1}},
	{2, [2]func(*tileArgs){slideAVX2P2F1}},
	{3, [2]func(*tileArgs){slideAVX2P3F1}},
	{4, [2]func(*tileArgs){slideAVX2P4F1}},
	{6, [2]func(*tileArgs){slideAVX2P6F1}},
}

// Implemented in tiles_amd64.s, which gen writes; what they compute is written down at slideArgs.

//go:noescape
func slideAVX512P1F1(a *tileArgs)

//go:noescape
func slideAVX512P2F1(a *tileArgs)

//go:noescape
func slideAVX512P4F1(a *tileArgs)

//go:noescape
func slideAVX512P8F1(a *tileArgs)

//go:noescape
func slideAVX512P14F1(a *tileArgs)

//go:noescape
func slideAVX512P1F2(a *tileArgs)

//go:noescape
func slideAVX512P2F2(a *tileArgs)

//go:noescape
func slideAVX512P4F2(a *tileArgs)

//go:noescape
func slideAVX512P8F2(a *tileArgs)

//go:noescape
func slideAVX512P14F2(a *tileArgs)

//go:noescape
func slideAVX2P1F1(a *tileArgs)

//go:noescape
func slideAVX2P2F1(a *tileArgs)

//go:noescape
func slideAVX2P3F1(a *tileArgs)

//go:noescape
func slideAVX2P4F1(a *tileArgs)

//go:noescape
func slideAVX2P6F1(a *tileArgs)
